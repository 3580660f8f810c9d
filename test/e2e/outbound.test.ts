import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { compile } from "../../.ci/compile.ts";
import { launch, succeeds } from "../support/binary.ts";
import { temporaryDirectory } from "../support/directory.ts";
import type { NameServer } from "../support/name-server.ts";
import { openNameServer } from "../support/name-server.ts";
import type { RawServer } from "../support/raw-server.ts";
import { rawServer } from "../support/raw-server.ts";

/** The way out, compiled as the product is, with the machine's own resolver asking a hostile name server. */

const HERE = "127.0.0.2";
const NAME_SERVER = "127.0.0.53";
const canMount = process.getuid?.() === 0 && succeeds("unshare", "-m", "true");

let root: ReturnType<typeof temporaryDirectory>;
let program: string;
beforeAll(async () => {
  root = temporaryDirectory();
  program = join(root.path, "asker");
  await compile({
    entry: join(import.meta.dir, "../support/asker.ts"),
    out: program,
  });
  writeFileSync(
    join(root.path, "resolv.conf"),
    `nameserver ${NAME_SERVER}\noptions attempts:1 timeout:30\n`,
  );
}, 120_000);
afterAll(() => root[Symbol.dispose]());

/** What came of each URL. */
async function asks(
  urls: string[],
  env: Record<string, string> = {},
  before: string[] = [],
): Promise<string[]> {
  const child = launch(
    [...before, program, `${HERE}/32`, ...urls],
    { PATH: process.env["PATH"]!, ...env },
    root.path,
  );
  await child.exited;
  expect(child.stderr()).toBe("");
  return child.stdout().trim().split("\n");
}

describe.skipIf(!canMount)("with a name server that wants us elsewhere", () => {
  let names: NameServer;
  let server: RawServer;
  const canaries: RawServer[] = [];
  beforeAll(async () => {
    names = await openNameServer(NAME_SERVER, {
      "good.test": { A: () => [HERE] },
      "flip.test": { A: (nth) => [nth % 2 === 0 ? HERE : "127.0.0.1"] },
      "mixed.test": { A: () => [HERE, "127.0.0.3"] },
      "hidden.test": { A: () => [HERE], AAAA: () => ["::1"] },
      "six.test": { AAAA: () => ["::1"] },
      "private.test": { A: () => ["127.0.0.1"] },
      localhost: { A: () => [HERE] },
    });
    server = await rawServer(HERE, (socket) =>
      socket.end(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nhere",
      ),
    );
    for (const address of ["127.0.0.1", "127.0.0.3", "::1"]) {
      canaries.push(await rawServer(address, () => {}, server.port));
    }
  });
  afterAll(async () => {
    for (const one of [names, server, ...canaries]) {
      await one[Symbol.asyncDispose]();
    }
  });

  const inItsNetwork = (urls: string[], env?: Record<string, string>) =>
    asks(urls, env, [
      "unshare",
      "-m",
      "sh",
      "-c",
      'mount --bind resolv.conf /etc/resolv.conf && exec "$0" "$@"',
    ]);

  // Demanded: outbound-rebinding
  test("only what was checked is connected to, by one question for each connection", async () => {
    const at = (name: string) => `http://${name}:${server.port}/`;
    const blocked = "invalid blocked_destination";
    expect(
      await inItsNetwork([
        at("good.test"),
        at("flip.test"),
        at("flip.test"),
        at("flip.test"),
        at("mixed.test"),
        at("hidden.test"),
        at("six.test"),
        at("private.test"),
        at("localhost"),
        at("unknown.test"),
      ]),
    ).toEqual([
      "200 here",
      "200 here",
      blocked,
      "200 here",
      ...Array<string>(6).fill(blocked),
    ]);
    expect(
      names.asked.filter((question) => question === "A flip.test"),
    ).toHaveLength(3);
    expect(canaries.flatMap(({ accepted }) => accepted)).toEqual([]);
  });

  test("a proxy of the environment does not come between", async () => {
    const proxy = `http://127.0.0.1:${server.port}`;
    expect(
      await inItsNetwork([`http://good.test:${server.port}/`], {
        HTTP_PROXY: proxy,
        http_proxy: proxy,
        HTTPS_PROXY: proxy,
        https_proxy: proxy,
        ALL_PROXY: proxy,
        NODE_USE_ENV_PROXY: "1",
      }),
    ).toEqual(["200 here"]);
    expect(canaries.flatMap(({ accepted }) => accepted)).toEqual([]);
  });
});

test("three hundred streams are held, and one more answer comes, with nothing set", async () => {
  using server = Bun.serve({
    hostname: HERE,
    port: 0,
    idleTimeout: 0,
    fetch: (request) =>
      request.url.endsWith("/one")
        ? new Response("one")
        : new Response(
            new ReadableStream({
              start: (controller) => controller.enqueue(": open\n\n"),
            }),
          ),
  });
  const url = `http://${HERE}:${server.port}`;
  expect(await asks([`300*${url}/stream`, `${url}/one`])).toEqual([
    "300 held",
    "200 one",
  ]);
});
