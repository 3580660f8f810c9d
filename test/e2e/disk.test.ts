import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Run } from "../support/binary.ts";
import {
  SECRET,
  WORKSPACE_KEY,
  ensureBuilt,
  run,
  succeeds,
} from "../support/binary.ts";
import { freePort } from "../support/port.ts";
import { mintToken } from "../../src/demo/token.ts";
import type { DemoWorkspace } from "../../src/demo/workspace.ts";
import { createCaller, initialize, listTools } from "../support/caller.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { oddWorld } from "../support/odd-world.ts";

/** Disks that are full, read-only or broken: real ones, in a mount namespace of their own. */

const canMount = succeeds("unshare", "-rm", "true");
const canTrace = succeeds("strace", "-V");

let root: ReturnType<typeof temporaryDirectory>;
let workspace: DemoWorkspace;
let folders = 0;
const running: Run[] = [];
beforeAll(async () => {
  await ensureBuilt();
  root = temporaryDirectory();
  workspace = openWorkspace(oddWorld({ bigActions: 3 }), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
});
afterAll(async () => {
  for (const child of running) child.kill("SIGKILL");
  await workspace.close();
  root[Symbol.dispose]();
});

/** A server whose data directory is a file system of its own. */
async function start(mount: string, before: string[] = []) {
  const folder = join(root.path, String(++folders));
  const data = join(folder, "data");
  mkdirSync(data, { recursive: true });
  const port = freePort();
  const child = run(
    ["serve"],
    {
      PORT: String(port),
      DATA_DIR: data,
      MEMBRANE_API_URI: workspace.url,
      MEMBRANE_WORKSPACE_KEY: WORKSPACE_KEY,
      MEMBRANE_WORKSPACE_SECRET: SECRET,
      PATH: process.env["PATH"]!,
      // A disk is filled as fast as it goes.
      RATE_LIMIT: "0",
    },
    folder,
    mount === ""
      ? before
      : [
          "unshare",
          "-rm",
          "sh",
          "-c",
          `${mount.replace("DATA", data)} && exec "$@"`,
          "sh",
          ...before,
        ],
  );
  running.push(child);
  const caller = createCaller(`http://127.0.0.1:${port}`, (user) =>
    mintToken({ workspaceKey: WORKSPACE_KEY, secret: SECRET, user }),
  );
  return { child, caller, data, url: `http://127.0.0.1:${port}` };
}

describe("a disk", () => {
  test.skipIf(!canMount)(
    "that is read-only is named at the start",
    async () => {
      const { child, data } = await start("mount -t tmpfs -o ro tmpfs DATA");
      expect(await child.exited).toBe(73);
      expect(child.stderr().trim().split("\n")).toHaveLength(1);
      expect(child.stderr()).toContain(data);
    },
  );

  test.skipIf(!canMount)("that is full is named at the start", async () => {
    const { child } = await start("mount -t tmpfs -o size=16k tmpfs DATA");
    expect([await child.exited, child.stderr()]).toEqual([
      74,
      expect.stringContaining("disk is full"),
    ]);
  });

  test.skipIf(!canMount)(
    "that fills up while we serve loses nothing, and serving goes on when there is room again",
    async () => {
      const { child, caller, data, url } = await start(
        "mount -t tmpfs -o size=4m tmpfs DATA",
      );
      await child.printed('"event":"listening"');
      const session = await caller.open("ada");
      const inside = join("/proc", String(child.pid), "root", data, "filler");
      try {
        writeFileSync(inside, Buffer.alloc(8 * 1024 * 1024));
      } catch {
        // Full, as it should be.
      }
      // The log has pages to spare at first.
      let refused;
      do refused = await caller.post("ada", initialize());
      while (refused.status === 200);
      expect(refused.body.error.message).toContain("cannot store");
      expect(refused.headers.get("retry-after")).not.toBeNull();
      const headers = { "mcp-session-id": session };
      expect((await caller.post("ada", listTools, headers)).status).toBe(200);
      // Its first reader has a secret made, for which there may be room left.
      const token = mintToken({
        workspaceKey: WORKSPACE_KEY,
        secret: SECRET,
        user: "ada",
      });
      const stream = await fetch(`${url}/mcp/stream?token=${await token}`);
      expect([200, 503]).toContain(stream.status);
      await stream.body?.cancel();
      rmSync(inside);
      expect((await caller.post("ada", initialize())).status).toBe(200);
      expect((await fetch(`${url}/health`)).status).toBe(200);
    },
  );

  test.skipIf(!canTrace)(
    "that fails to write is never trusted again: we end with 74, and every session that was confirmed is there at the next start",
    async () => {
      const { child, caller, data } = await start("", [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "inject=fsync,fdatasync:error=EIO:when=40+",
      ]);
      await child.printed('"event":"listening"');
      const confirmed: string[] = [];
      for (;;) {
        const answer = await caller.post("ada", initialize()).catch(() => null);
        if (answer?.status !== 200) break;
        confirmed.push(answer.headers.get("mcp-session-id")!);
      }
      expect(await child.exited).toBe(74);
      expect(child.stderr()).toContain("storage failed");
      expect(confirmed.length).toBeGreaterThan(5);
      const listed = run(
        ["sessions", "list", "--json", "--limit", "1000"],
        { DATA_DIR: data },
        root.path,
      );
      expect(await listed.exited).toBe(0);
      const ids = (JSON.parse(listed.stdout()) as { id: string }[]).map(
        ({ id }) => id,
      );
      expect(ids).toEqual(expect.arrayContaining(confirmed));
    },
  );
});
