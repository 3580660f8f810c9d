import { afterAll, expect, test } from "bun:test";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { ensureBuilt, run } from "../support/binary.ts";
import { freePort } from "../support/port.ts";
import { temporaryDirectory } from "../support/directory.ts";

/** Files, and so connections, that the server may have open. */
const FILES = 128;

const directory = temporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

// Demanded: limits-connections
test.skipIf(process.platform === "win32")(
  "more connections than a process may have end nothing, and when they are gone everybody is answered",
  async () => {
    await ensureBuilt();
    const port = freePort();
    const child = run(
      ["serve"],
      {
        PATH: process.env["PATH"]!,
        PORT: String(port),
        DATA_DIR: `${directory.path}/data`,
        MEMBRANE_WORKSPACE_KEY: "w",
        MEMBRANE_WORKSPACE_SECRET: "a-test-secret-of-more-than-32-bytes",
      },
      directory.path,
      ["sh", "-c", `ulimit -n ${FILES} && exec "$@"`, "sh"],
    );
    await child.printed('"event":"listening"');
    const health = () => fetch(`http://127.0.0.1:${port}/health`);
    expect((await health()).status).toBe(200);
    const sockets: Socket[] = [];
    for (let n = 0; n < 3 * FILES; n++) {
      const socket = connect(port, "127.0.0.1");
      sockets.push(socket);
      await new Promise((resolve) =>
        socket.once("connect", resolve).once("error", resolve),
      );
    }
    // One that waits for its turn among them.
    const waiting = health();
    for (const socket of sockets) socket.destroy();
    expect((await waiting).status).toBe(200);
    expect((await health()).status).toBe(200);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  },
);
