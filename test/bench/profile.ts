/**
 * Shows where the time of the server goes: loads test/bench/server.ts with tool calls over 64 connections
 * (or METHOD=tools/list) for SECONDS (default 5) under Bun's sampling profiler, and prints the functions in
 * which it was found most often.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mintToken } from "../../src/demo/token.ts";
import { highLimits } from "./limits.ts";

const seconds = Number(process.env["SECONDS_OF_LOAD"] ?? 5);
const method = process.env["METHOD"] ?? "tools/call";
const script = process.env["SERVER"] ?? join(import.meta.dir, "server.ts");
const workspaceKey = "bench";
const secret = "a secret for benchmarks that is long enough";

const directory = mkdtempSync(join(tmpdir(), "membrane-mcp-profile-"));
const server = Bun.spawn(
  [process.execPath, "--cpu-prof", `--cpu-prof-dir=${directory}`, script],
  {
    env: {
      ...process.env,
      PORT: "0",
      DATA_DIR: join(directory, "data"),
      MEMBRANE_WORKSPACE_KEY: workspaceKey,
      MEMBRANE_WORKSPACE_SECRET: secret,
      ...highLimits,
    },
    stdout: "pipe",
    stderr: "ignore",
  },
);
try {
  const url = await firstLine(server.stdout);
  const token = await mintToken({ workspaceKey, secret, user: "bench" });
  const calls = await load(`${url}/mcp`, token);
  console.log(`${Math.round(calls / seconds)} ${method} per second\n`);
  server.kill("SIGTERM");
  await server.exited;
  const file = readdirSync(directory).find((name) =>
    name.endsWith(".cpuprofile"),
  );
  if (!file) throw new Error("The profiler has written nothing.");
  print(await Bun.file(join(directory, file)).json());
} finally {
  server.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    text += new TextDecoder().decode(chunk);
    if (text.includes("\n")) return text.slice(0, text.indexOf("\n"));
  }
  throw new Error("The server has not started.");
}

async function load(url: string, token: string): Promise<number> {
  const headers = {
    authorization: `Bearer ${token}`,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
  };
  const post = (message: object, sessionId?: string) =>
    fetch(url, {
      method: "POST",
      headers: sessionId
        ? { ...headers, "mcp-session-id": sessionId }
        : headers,
      body: JSON.stringify({ jsonrpc: "2.0", ...message }),
    });
  let count = 0;
  const until = performance.now() + seconds * 1000;
  await Promise.all(
    Array.from({ length: 64 }, async () => {
      const opened = await post({
        id: 0,
        method: "initialize",
        params: {
          protocolVersion: "2025-11-25",
          capabilities: {},
          clientInfo: { name: "profile", version: "1" },
        },
      });
      await opened.text();
      const session = opened.headers.get("mcp-session-id")!;
      const params = { name: "bench_echo", arguments: { message: "hello" } };
      while (performance.now() < until) {
        const answer = await post({ id: ++count, method, params }, session);
        if (!answer.ok) throw new Error(await answer.text());
        await answer.text();
      }
    }),
  );
  return count;
}

type Profile = {
  nodes: {
    id: number;
    callFrame: { functionName: string; url: string; lineNumber: number };
  }[];
  samples: number[];
  timeDeltas: number[];
};

function print(profile: Profile): void {
  const frames = new Map(
    profile.nodes.map(({ id, callFrame }) => [
      id,
      `${callFrame.functionName || "(anonymous)"}  ${callFrame.url.split("/").slice(-3).join("/")}:${callFrame.lineNumber}`,
    ]),
  );
  const spent = new Map<string, number>();
  let total = 0;
  profile.samples.forEach((id, i) => {
    const frame = frames.get(id) ?? "?";
    const us = profile.timeDeltas[i] ?? 0;
    spent.set(frame, (spent.get(frame) ?? 0) + us);
    total += us;
  });
  const rows = [...spent].sort(([, a], [, b]) => b - a).slice(0, 40);
  for (const [frame, us] of rows) {
    console.log(`${((us / total) * 100).toFixed(1).padStart(5)} %  ${frame}`);
  }
}
