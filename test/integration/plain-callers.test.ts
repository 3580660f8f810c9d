import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Rig } from "../support/app.ts";
import { openRig } from "../support/app.ts";
import { succeeds } from "../support/binary.ts";

let rig: Rig;
let token: string;
beforeAll(async () => {
  rig = await openRig();
  token = await rig.tokenFor("ada");
});
afterAll(() => rig[Symbol.asyncDispose]());

const message = (method: string, params?: object) =>
  JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });

/** With what `Content-Type` says, and a credential, alone. */
async function plain(body: string, path = "/mcp", at: Rig = rig) {
  const response = await fetch(at.url + path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${token}`,
    },
    body,
  });
  return { response, body: (await response.json()) as any };
}

// Demanded: plain-json-rpc
describe("one request without a handshake", () => {
  test.each([
    ["ping", undefined, {}],
    [
      "tools/call",
      { name: "lab_echo", arguments: { x: 1 } },
      { structuredContent: { x: 1 } },
    ],
    ["prompts/list", undefined, { prompts: [] }],
    ["resources/list", undefined, { resources: [] }],
  ])(
    "%s is answered with one JSON-RPC answer, and no session",
    async (method, params, result) => {
      const { response, body } = await plain(message(method, params));
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe("application/json");
      expect(response.headers.has("mcp-session-id")).toBe(false);
      expect(body).toMatchObject({ jsonrpc: "2.0", id: 1, result });
    },
  );

  // Demanded: plain-rest
  test("the same tool is called over REST, by the name that tools/list shows", async () => {
    const { body } = await plain('{"params":{"x":1}}', "/tools/lab_echo/call");
    expect(body.result.structuredContent).toEqual({ x: 1 });
  });
});

// Demanded: plain-errors
describe("an error has the code -32000 when it may be tried again, and another when it would fail again", () => {
  test.each([
    ["an unknown method", message("tools/unheard"), "/mcp", 200, -32601],
    [
      "an unknown tool",
      message("tools/call", { name: "no" }),
      "/mcp",
      200,
      -32602,
    ],
    ["no tool", message("tools/call", {}), "/mcp", 200, -32602],
    [
      "a wrong cursor",
      message("tools/list", { cursor: "x" }),
      "/mcp",
      200,
      -32602,
    ],
    ["an unknown mode", message("tools/list"), "/mcp?mode=x", 400, -32600],
    [
      "a chat id that is too long",
      message("tools/list"),
      `/mcp?chat=${"x".repeat(257)}`,
      400,
      -32600,
    ],
    ["what is no JSON", "{", "/mcp", 400, -32700],
    ["what is no JSON-RPC", "{}", "/mcp", 400, -32600],
    ["an unknown server", message("tools/list"), "/mcp/none", 404, -32600],
  ])("%s", async (_, sent, path, status, code) => {
    const { response, body } = await plain(sent, path);
    expect([response.status, body.error.code]).toEqual([status, code]);
  });

  test("a revision that is not spoken, and a session that is missing", async () => {
    const old = await rig.post("ada", message("ping"), {
      accept: "application/json",
      "mcp-protocol-version": "2024-10-07",
    });
    const lost = await rig.post("ada", message("ping"));
    expect([old.status, lost.status]).toEqual([400, 400]);
    for (const { body } of [old, lost])
      expect(body.error.code).not.toBe(-32000);
  });

  test("Membrane is down", async () => {
    await using other = await openRig();
    other.workspace.faults.add({ match: "* /", status: 503 });
    const { response, body } = await plain(
      message("tools/list"),
      "/mcp",
      other,
    );
    expect([response.status, body.error.code]).toEqual([200, -32000]);
  });

  test("who calls cannot be learned at present", async () => {
    await using other = await openRig({ introspect: true });
    other.workspace.faults.add({ match: "* /", status: 503 });
    const { response, body } = await plain(
      message("tools/list"),
      "/mcp",
      other,
    );
    expect(response.status).toBeGreaterThanOrEqual(500);
    expect(body.error.code).toBe(-32000);
  });
});

/** The client of the integration guide, with the standard library in the place of `requests`. */
const CLIENT = `
import json, sys, urllib.error, urllib.request

class MCPError(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]

class MCPRestClient:
    def __init__(self, base_url, api_key=None):
        self.base_url = base_url
        self.headers = {"Content-Type": "application/json"}
        if api_key:
            self.headers["Authorization"] = f"Bearer {api_key}"

    def call_tool(self, tool_name, params):
        payload = {
            "jsonrpc": "2.0",
            "method": "tools/call",
            "params": {"name": tool_name, "arguments": params},
            "id": 1,
        }
        request = urllib.request.Request(
            f"{self.base_url}/mcp", json.dumps(payload).encode(), self.headers
        )
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        if "error" in answer:
            raise MCPError(answer["error"])
        return answer["result"]

client = MCPRestClient(sys.argv[1], sys.stdin.read().strip() or None)
try:
    print(json.dumps(client.call_tool(sys.argv[2], {"x": "ü"})))
except MCPError as error:
    print(json.dumps({"code": error.code}))
except urllib.error.HTTPError as error:
    print(json.dumps({"status": error.code, **json.load(error)}))
`;

describe.skipIf(!succeeds("python3", "--version"))(
  "the Python client of the integration guide",
  () => {
    const file = () => join(rig.directory, "client.py");
    beforeAll(() => writeFile(file(), CLIENT));
    afterAll(() => rm(file()));

    async function run(credential: string, tool: string) {
      const child = Bun.spawn(["python3", file(), rig.url, tool], {
        stdin: Buffer.from(credential),
        env: { ...process.env, NO_PROXY: "127.0.0.1", no_proxy: "127.0.0.1" },
      });
      return JSON.parse(await new Response(child.stdout).text());
    }

    test("calls a tool", async () => {
      const result = await run(token, "lab_echo");
      expect(result.structuredContent).toEqual({ x: "ü" });
      expect(JSON.parse(result.content[0].text)).toEqual({ x: "ü" });
    });

    test("learns that there is no such tool, and does not try again", async () => {
      expect(await run(token, "lab_none")).toEqual({ code: -32602 });
    });

    test("learns that it has no credential", async () => {
      expect(await run("", "lab_echo")).toEqual({
        status: 401,
        error: "Unauthorized: No token provided",
      });
    });
  },
);
