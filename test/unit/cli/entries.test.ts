import { describe, expect, test } from "bun:test";
import type { Entry } from "../../../src/cli/entries.ts";
import { parseEntries } from "../../../src/cli/entries.ts";
import {
  describeRegistration,
  readHeaders,
} from "../../../src/cli/registration.ts";

const at = {
  platform: "linux" as const,
  home: "/home/ada",
  cwd: "/home/ada/project",
  env: { TOKEN: "t0ken", EMPTY: "" },
  ours: ["https://mcp.example.com/base", "http://localhost:3000"],
  self: ["/usr/bin/bun", "/src/main.ts"],
};
const REMOTE = "https://mcp.linear.app/mcp";

/** The one entry of a file that has this one. */
function read(entry: unknown, name = "it"): Entry {
  const entries = parseEntries(
    JSON.stringify({ mcpServers: { [name]: entry } }),
    at,
  );
  expect(entries).toHaveLength(1);
  return entries![0]!;
}
const registration = (entry: unknown) => {
  const found = read(entry);
  return "registration" in found ? found.registration : found;
};

describe("a file", () => {
  test.each([
    ["Cursor's", { mcpServers: { a: { url: REMOTE } } }],
    [
      "VS Code's",
      { inputs: [], servers: { a: { type: "http", url: REMOTE } } },
    ],
    ["Windsurf's", { mcpServers: { a: { serverUrl: REMOTE } } }],
  ])("%s names its servers", (_, file) => {
    expect(parseEntries(JSON.stringify(file), at)).toEqual([
      {
        name: "a",
        enabled: true,
        registration: {
          name: "a",
          url: REMOTE,
          transport: "http",
          authentication: { type: "none" },
        },
      },
    ]);
  });

  test("may have comments, trailing commas and a byte order mark", () => {
    const text = `\uFEFF// mine\n{ "mcpServers": { "a": { "url": "${REMOTE}", }, }, }`;
    expect(parseEntries(text, at)).toMatchObject([{ name: "a" }]);
  });

  test("of Claude Code has those of this directory's project first, and none of another's", () => {
    const file = {
      mcpServers: { a: { url: `${REMOTE}/all` }, b: { url: REMOTE } },
      projects: {
        "/home/ada/project": { mcpServers: { a: { url: `${REMOTE}/mine` } } },
        "/home/ada/other": { mcpServers: { c: { url: REMOTE } } },
      },
    };
    const entries = parseEntries(JSON.stringify(file), at)!;
    expect(entries.map(({ name }) => name)).toEqual(["a", "a", "b"]);
    expect(entries[0]).toMatchObject({
      registration: { url: `${REMOTE}/mine` },
    });
  });

  test.each([
    "",
    "[]",
    "{}",
    "nonsense",
    '{ "mcpServers": [] }',
    '{ "mcpServers": { "a": {} ',
    '{ "mcpServers": null }',
  ])("is none of servers: %s", (text) => {
    expect(parseEntries(text, at)).toBeNull();
  });

  test("without servers has none of them", () => {
    expect(parseEntries('{ "mcpServers": {} }', at)).toEqual([]);
  });
});

describe("a server with a REMOTE", () => {
  test.each([
    [{ url: REMOTE, type: "sse" }, "sse"],
    [{ url: "https://x.example/sse" }, "sse"],
    [{ url: "https://x.example/sse", type: "http" }, "http"],
    [{ url: REMOTE, type: "streamable-http" }, "http"],
    [{ url: REMOTE, type: "streamableHttp" }, "http"],
    [{ url: REMOTE, type: "http", command: "x" }, "http"],
  ])("%j is reached over %s", (entry, transport) => {
    expect(registration(entry)).toMatchObject({ transport });
  });

  test.each<[Record<string, string>, object]>([
    [{}, { type: "none" }],
    [{ Authorization: "Bearer abc" }, { type: "bearer", token: "abc" }],
    [
      { authorization: "bearer  ${env:TOKEN}" },
      { type: "bearer", token: "t0ken" },
    ],
    [
      { Authorization: "Basic abc" },
      { type: "headers", headers: { Authorization: "Basic abc" } },
    ],
    [
      { Authorization: "Bearer abc", "X-Team": "blue" },
      {
        type: "headers",
        headers: { Authorization: "Bearer abc", "X-Team": "blue" },
      },
    ],
    [
      { "X-API-Key": "${TOKEN}" },
      { type: "headers", headers: { "X-API-Key": "t0ken" } },
    ],
  ])("with the headers %j is let in by %j", (headers, authentication) => {
    expect(registration({ url: REMOTE, headers })).toMatchObject({
      authentication,
    });
  });
});

test("a program is taken over with its arguments, its directory and its environment", () => {
  expect(
    registration({
      command: "npx",
      args: ["-y", "some-server", 7, "${userHome}/data"],
      cwd: "${userHome}",
      env: { KEY: "${env:TOKEN}", DEBUG: true, NOTHING: null },
    }),
  ).toEqual({
    name: "it",
    transport: "stdio",
    command: "npx",
    args: ["-y", "some-server", "7", "/home/ada/data"],
    cwd: "/home/ada",
    env: { KEY: "t0ken", DEBUG: "true" },
  });
});

test.each([
  [{ url: REMOTE, disabled: true }],
  [{ command: "npx", enabled: false }],
])("%j was switched off, and stays so", (entry) => {
  expect(read(entry)).toMatchObject({ enabled: false });
});

describe("placeholders", () => {
  test.each([
    ["${TOKEN}", "t0ken"],
    ["${env:TOKEN}", "t0ken"],
    ["a${TOKEN}b${TOKEN}", "at0kenbt0ken"],
    ["${EMPTY}", ""],
    ["${MISSING:-else}", "else"],
    ["${MISSING:-}", ""],
    ["${TOKEN:-else}", "t0ken"],
    ["$TOKEN {TOKEN}", "$TOKEN {TOKEN}"],
  ])("%s stands for %j", (text, value) => {
    expect(registration({ command: "x", args: [text] })).toMatchObject({
      args: [value],
    });
  });

  test.each(["${MISSING}", "${env:MISSING}"])(
    "%s, which is not set, keeps the entry out by name",
    (text) => {
      for (const entry of [
        { url: `${REMOTE}/${text}` },
        { url: REMOTE, headers: { "X-Key": text } },
        { command: text },
        { command: "x", args: [text] },
        { command: "x", env: { A: text } },
        { command: "x", cwd: text },
      ]) {
        expect(read(entry)).toEqual({
          name: "it",
          refused: `It needs ${text}, and MISSING is not set in the environment here.`,
        });
      }
    },
  );

  test.each(["${input:token}", "${workspaceFolder}/x", "${config:a.b}", "${}"])(
    "%s, which only the client knows, keeps the entry out",
    (text) => {
      expect(read({ url: REMOTE, headers: { "X-Key": text } })).toEqual({
        name: "it",
        refused: expect.stringMatching(
          /^Only its client knows what \$\{.*\} stands for\./,
        ) as never,
      });
    },
  );
});

describe("what is refused by name, while others are taken over", () => {
  test.each([
    [{}, "neither a url nor a command"],
    ["text", "no object"],
    [null, "no object"],
    [{ url: REMOTE, type: "ws" }, 'type "ws"'],
    [{ url: 7, type: {} }, "type {}"],
    [{ url: {} }, "url"],
    [{ url: REMOTE, headers: [] }, "headers"],
    [{ url: REMOTE, headers: { A: {} } }, "headers A"],
    [{ command: [] }, "command"],
    [{ command: "x", args: "y" }, "args"],
    [{ command: "x", args: [{}] }, "args"],
    [{ command: "x", env: "y" }, "env"],
    [{ command: "./x" }, "./x"],
    [{ command: "x", cwd: "sub" }, "sub"],
    [{ command: "x", envFile: ".env" }, "envFile"],
    [{ url: REMOTE, headersHelper: "x" }, "headersHelper"],
  ])("%j", (entry, words) => {
    const entries = parseEntries(
      JSON.stringify({ mcpServers: { bad: entry, good: { url: REMOTE } } }),
      at,
    )!;
    expect(entries[0]).toEqual({
      name: "bad",
      refused: expect.stringContaining(words) as never,
    });
    expect(entries[1]).toMatchObject({ registration: { url: REMOTE } });
  });

  test("never with the value of a secret", () => {
    const entry = { url: REMOTE, headers: { A: "s3cret ${TOKEN} ${input:x}" } };
    expect(JSON.stringify(read(entry))).not.toMatch(/s3cret|t0ken/);
  });
});

describe("this gateway itself", () => {
  test.each([
    { url: "https://mcp.example.com/base/mcp" },
    { url: "https://mcp.example.com/base/mcp?mode=search" },
    { url: "https://mcp.example.com/base/mcp&integrationKey=gmail" },
    { url: "https://MCP.example.com:443/base/sse" },
    { serverUrl: "http://localhost:3000/mcp/github" },
    { command: "/opt/membrane-mcp", args: ["stdio", "--url", "https://x/"] },
    { command: "membrane-mcp.exe", args: ["stdio"] },
    { command: "/usr/bin/bun", args: ["/src/main.ts", "stdio"] },
  ])("%j is left out", (entry) => {
    expect(read(entry)).toHaveProperty("skipped");
  });

  test.each([
    { url: "https://mcp.example.com/mcp" },
    { url: "https://mcp.example.com/base/mcps" },
    { url: "http://localhost:3001/mcp" },
    { url: "https://other.example.com/base/mcp" },
    { command: "/usr/bin/bun", args: ["/src/other.ts", "stdio"] },
    { command: "npx", args: ["membrane-mcp-like", "stdio"] },
  ])("%j is another", (entry) => {
    expect(read(entry)).toHaveProperty("registration");
  });
});

test.each([
  [
    {
      url: "https://u:p4ss@x.example/mcp?key=s3cret#s3cret",
      headers: { A: "s3cret", B: "s3cret" },
    },
    "https://x.example/mcp?… (http), headers A, B (set)",
  ],
  [
    { url: REMOTE, headers: { Authorization: "Bearer s3cret" } },
    `${REMOTE} (http), bearer (set)`,
  ],
  [
    { command: "npx", args: ["--key", "s3cret"], env: { KEY: "s3cret" } },
    "npx with 2 arguments, env KEY (set)",
  ],
])("%j is shown without what is secret in it", (entry, words) => {
  const found = read(entry);
  expect(
    "registration" in found && describeRegistration(found.registration),
  ).toBe(words);
});

describe("a file of headers", () => {
  test("has one in each line, and may have comments", () => {
    expect(
      readHeaders(
        "# ours\r\nX-Team: blue\r\n\r\n  Authorization:Basic a:b=  \n",
      ),
    ).toEqual({ "X-Team": "blue", Authorization: "Basic a:b=" });
  });

  test.each(["no colon", "X-Empty:", ": value", "X Y: z"])(
    "is refused with %j in it, which is not shown",
    (line) => {
      expect(() => readHeaders(`A: b\n${line}`)).toThrow(
        'Line 2 of the headers is not of the form "Name: value".',
      );
    },
  );
});
