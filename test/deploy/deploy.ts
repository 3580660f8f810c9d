/**
 * What the README says about running behind a proxy and under systemd, taken from the README and run: the
 * executable behind real nginx and Caddy with TLS, a stream that is silent for two minutes, and the units through
 * systemd-analyze. Needs Debian's `nginx`, `caddy`, `systemd` and `openssl`. Ends with `N passed, N failed`.
 *
 *     bun run test:deploy [--idle SECONDS]
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  SECRET,
  WORKSPACE_KEY,
  ensureBuilt,
  launch,
  openServer,
  succeeds,
} from "../support/binary.ts";
import { freePort } from "../support/port.ts";
import type { Run, Server } from "../support/binary.ts";
import type { SseEvent } from "../support/caller.ts";
import {
  call,
  createCaller,
  initialize,
  listTools,
} from "../support/caller.ts";
import { openWorkspace } from "../support/demo-client.ts";
import { temporaryDirectory } from "../support/directory.ts";
import { oddWorld } from "../support/odd-world.ts";
import { openSocket } from "../support/socket.ts";

const { values } = parseArgs({
  options: { idle: { type: "string", default: "120" } },
});
const idleMs = Number(values.idle) * 1000;

const HOST = "mcp.example.com";
const readme = readFileSync(join(import.meta.dir, "../../README.md"), "utf8");
const block = (language: string, containing: string) => {
  const found = [
    ...readme.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "gs")),
  ].find(([, text]) => text!.includes(containing));
  assert(found, `README has no ${language} block with ${containing}`);
  return found[1]!;
};
/** Replaces what a machine of its own would have; each must be there. */
const adapt = (text: string, changes: Record<string, string>) =>
  Object.entries(changes).reduce((text, [from, to]) => {
    assert(text.includes(from), `README has no ${from}`);
    return text.replaceAll(from, to);
  }, text);

let passed = 0;
let failed = 0;
async function check(name: string, run: () => unknown): Promise<void> {
  try {
    await run();
    passed++;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}\n${Bun.inspect(error)}`);
  }
}

using folder = temporaryDirectory();
const file = (name: string, text: string) => {
  const path = join(folder.path, name);
  writeFileSync(path, text);
  return path;
};
const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: folder.path };

/** A certificate that nobody knows; whose it is is not what is tested. */
const [certificate, key] = ["cert.pem", "key.pem"].map((name) =>
  join(folder.path, name),
) as [string, string];
process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
assert(
  succeeds(
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    key,
    "-out",
    certificate,
    "-subj",
    `/CN=${HOST}`,
  ),
  "openssl could not make a certificate",
);

const proxies: Record<string, (server: Server, port: number) => Run> = {
  nginx(server, port) {
    const site = adapt(block("nginx", "proxy_pass"), {
      "127.0.0.1:3000": new URL(server.url).host,
      "listen 443 ssl": `listen 127.0.0.1:${port} ssl`,
      "/etc/ssl/mcp.example.com.pem": certificate,
      "/etc/ssl/mcp.example.com.key": key,
    });
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${folder.path}/${name};`)
      .join("\n");
    return launch(
      [
        "nginx",
        "-e",
        "stderr",
        "-c",
        file(
          "nginx.conf",
          `daemon off; user root; pid ${folder.path}/nginx.pid; error_log stderr;
           events {}
           http { access_log off; ${temporary}\n${site} }`,
        ),
      ],
      env,
      "/",
    );
  },
  caddy(server, port) {
    const site = adapt(block("caddyfile", "reverse_proxy"), {
      "127.0.0.1:3000": new URL(server.url).host,
      "mcp.example.com {": `${HOST}:${port} {\n\ttls ${certificate} ${key}`,
    });
    return launch(
      [
        "caddy",
        "run",
        "--adapter",
        "caddyfile",
        "--config",
        file(
          "Caddyfile",
          `{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_sni ${HOST}\n}\n${site}`,
        ),
      ],
      env,
      "/",
    );
  },
};

const isChange = ({ data }: SseEvent) =>
  Boolean(data?.includes("notifications/tools/list_changed"));

async function behind(name: string): Promise<void> {
  await using workspace = openWorkspace(oddWorld({ bigActions: 3 }), {
    workspaceKey: WORKSPACE_KEY,
    secret: SECRET,
  });
  await using server = await openServer(workspace.url, {
    PUBLIC_URL: `https://${HOST}`,
    TRUSTED_PROXIES: "127.0.0.1",
  });
  const port = freePort();
  const proxy = proxies[name]!(server, port);
  const caller = createCaller(`https://127.0.0.1:${port}`, server.tokenFor);
  const host = { host: HOST };
  const plain = { ...host, accept: "application/json" };
  while (
    !(await caller.post("ada", listTools, plain).then(
      ({ status }) => status === 200,
      () => false,
    ))
  ) {
    assert(
      (await Promise.race([proxy.exited, Bun.sleep(50)])) === undefined,
      `${name} has ended: ${proxy.stderr()}`,
    );
  }

  for (const sse of [false, true]) {
    await check(
      `${name}: the official client, ${sse ? "HTTP+SSE" : "Streamable HTTP"}`,
      async () => {
        const { client, close } = await caller.connect("ada", {
          sse,
          headers: host,
        });
        assert((await client.listTools()).tools.length > 0);
        const { structuredContent } = await client.callTool({
          name: "lab_echo",
          arguments: { text: "through" },
        });
        assert.deepEqual(structuredContent, { text: "through" });
        await close();
      },
    );
  }

  const session = await caller.open("ada", host, "/mcp?mode=dynamic");
  const headers = { ...host, "mcp-session-id": session };
  const change = (tool: string) =>
    caller.post("ada", call("enable-tools", { tools: [tool] }), headers);

  await check(
    `${name}: every event comes when it happens, the stream still open`,
    async () => {
      const stream = await caller.listen("ada", headers);
      for (let n = 1; n <= 5; n++) {
        await change(n % 2 ? "lab_echo" : "lab_whoami");
        await stream.until(() => stream.events.filter(isChange).length >= n);
      }
      stream.close();
      await stream.ended;
    },
  );
  await check(
    `${name}: a call of 3.9 MB, and one that is too large`,
    async () => {
      const text = "x".repeat(3_900_000);
      const { body } = await caller.post(
        "ada",
        call("lab_echo", { text }),
        plain,
      );
      assert.equal(body.result.structuredContent.text.length, text.length);
      const tooLarge = call("lab_echo", { text: "x".repeat(4_300_000) });
      const answer = await caller.post("ada", tooLarge, host);
      assert.equal(answer.status, 413);
      assert(answer.text.includes("MAX_BODY_BYTES"), "the answer is ours");
    },
  );
  const socketIdles = check(
    `${name}: a WebSocket, a large message over it, and silence for ${values.idle} s`,
    async () => {
      const socket = await openSocket(`https://127.0.0.1:${port}/ws`, {
        headers: { ...host, origin: `https://${HOST}` },
        protocols: ["mcp", `bearer.${await server.tokenFor("ada")}`],
        tls: { rejectUnauthorized: false },
      });
      assert.equal(socket.protocol, "mcp");
      await socket.ask(initialize());
      const text = "x".repeat(3_900_000);
      const { result } = await socket.ask(call("lab_echo", { text }, "large"));
      assert.equal(result.structuredContent.text.length, text.length);
      const closed = socket.closed.then(() => "closed");
      assert.equal(
        await Promise.race([closed, Bun.sleep(idleMs).then(() => "open")]),
        "open",
      );
      await socket.ask({ ...listTools, id: "after" });
      socket.close();
    },
  );
  await check(
    `${name}: a stream that is silent for ${values.idle} s, then has something to say`,
    async () => {
      let stream = await caller.listen("ada", headers);
      while (stream.status === 409) {
        stream = await caller.listen("ada", headers);
      }
      const ended = stream.ended.then(() => "ended");
      assert.equal(
        await Promise.race([ended, Bun.sleep(idleMs).then(() => "open")]),
        "open",
      );
      await change("lab_echo");
      await stream.until(isChange);
      stream.close();
    },
  );
  await socketIdles;
  await caller.close();
  proxy.kill("SIGTERM");
  await proxy.exited;
}

async function systemd(): Promise<void> {
  const units = {
    "membrane-mcp.service": block("ini", "membrane-mcp serve"),
    "membrane-mcp-backup.service": block("ini", "membrane-mcp backup"),
  };
  const directory = join(folder.path, "systemd");
  mkdirSync(directory);
  for (const [name, text] of Object.entries(units)) {
    await check(`systemd: ${name} is understood`, () => {
      const path = join(directory, name);
      writeFileSync(
        path,
        text.replaceAll("/usr/local/bin/membrane-mcp", "/bin/true"),
      );
      const verify = Bun.spawnSync(["systemd-analyze", "verify", path]);
      assert.equal(verify.stderr.toString().trim(), "");
    });
  }
  await check(
    "systemd: the service is exposed as little as README says",
    () => {
      const security = Bun.spawnSync([
        "systemd-analyze",
        "security",
        "--offline=true",
        join(directory, "membrane-mcp.service"),
      ]);
      const [, level] =
        /Overall exposure level for .*: ([\d.]+) /.exec(
          security.stdout.toString(),
        ) ?? [];
      assert(level && readme.includes(`gives it ${level} `), `it is ${level}`);
    },
  );
}

await ensureBuilt();
await Promise.all([systemd(), ...Object.keys(proxies).map(behind)]);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
