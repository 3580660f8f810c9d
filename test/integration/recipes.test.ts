import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { EventSource } from "eventsource";
import type { Rig } from "../support/app.ts";
import { openRig } from "../support/app.ts";
import { succeeds } from "../support/binary.ts";
import { recipe } from "../support/recipes.ts";

/** The clients of the README, as they stand there. Those of WebSocket and for receivers of webhooks have tests of their own. */

const root = join(import.meta.dir, "../..");

let rig: Rig;
let token: string;
beforeAll(async () => {
  rig = await openRig();
  token = await rig.tokenFor("ada");
});
afterAll(() => rig[Symbol.asyncDispose]());

async function run(command: string[]): Promise<string> {
  const child = Bun.spawn(command, {
    cwd: root,
    env: {
      ...process.env,
      TOKEN: token,
      NO_PROXY: "127.0.0.1",
      no_proxy: "127.0.0.1",
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return (out || error).trim();
}

// Demanded: recipes
test.skipIf(!succeeds("curl", "--version"))(
  "the request with curl calls a tool",
  async () => {
    const code = recipe("### The API, to read and to try", "sh", rig.url);
    const answer = await run(["bash", "-c", `set -e\n${code}`]);
    expect(JSON.parse(answer)).toMatchObject({
      id: 1,
      result: { structuredContent: {} },
    });
  },
);

test("the client of the first SDK lists tools", async () => {
  const code = recipe("## Connect a client", "ts", rig.url);
  const program = `const token = process.env.TOKEN;
${code}
console.log(tools.length > 10);
process.exit();`;
  expect(await run([process.execPath, "-e", program])).toBe("true");
});

test("the client of the newer SDK calls a tool", async () => {
  const code = recipe("## Recipes", "ts", rig.url);
  const program = `const token = process.env.TOKEN;
${code}
console.log(JSON.stringify(content));
process.exit();`;
  const answer = await run([process.execPath, "-e", program]);
  expect(JSON.parse(answer)).toMatchObject([{ type: "text", text: "{}" }]);
});

test("the EventSource of a page is told of what happens", async () => {
  const said = Promise.withResolvers<unknown[]>();
  const opened = Promise.withResolvers<void>();
  const sources: EventSource[] = [];
  class Page extends EventSource {
    constructor(url: string) {
      super(url);
      sources.push(this);
      this.onopen = () => opened.resolve();
    }
  }
  new Function(
    "EventSource",
    "token",
    "console",
    recipe("## Events", "js", rig.url),
  )(Page, token, {
    log: (...all: unknown[]) => said.resolve(all),
  });
  await opened.promise;
  await rig.open("ada");
  const [at, event] = await said.promise;
  expect(new Date(String(at)).toISOString()).toBe(String(at));
  expect(event).toBe("session_opened");
  for (const source of sources) source.close();
});

/** Answers like the server, after so many answers that say to come back. */
function openBusy(refusals: number) {
  const asked: any[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const message: any = await request.json();
      asked.push([message, request.headers.get("authorization")]);
      if (asked.length > refusals) {
        return fetch(`${rig.url}/mcp`, {
          method: "POST",
          headers: request.headers,
          body: JSON.stringify(message),
        });
      }
      const limited = asked.length % 2 === 1;
      return Response.json(
        {
          jsonrpc: "2.0",
          id: message.id,
          error: {
            code: -32000,
            message: "Too much.",
            ...(limited ? { data: { retryAfterMs: 3 } } : {}),
          },
        },
        { status: limited ? 429 : 200 },
      );
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    asked,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** As fast as tests are. */
const languages = {
  JavaScript: {
    missing: false,
    program: (url: string, name: string) => [
      process.execPath,
      "-e",
      `const token = process.env.TOKEN;
${recipe("## Recipes", "js", url).replace("1000 *", "")}
callTool("${name}", { text: "ü" }).then(
  (result) => console.log(JSON.stringify(result.structuredContent)),
  (error) => console.log("gave up: " + error.message),
);`,
    ],
  },
  Python: {
    missing: !succeeds("python3", "--version"),
    program: (url: string, name: string) => [
      "python3",
      "-c",
      `${recipe("## Recipes", "python", url).replace("2 ** attempt", "0.001")}
try:
    print(json.dumps(call_tool("${name}", {"text": "ü"})["structuredContent"], ensure_ascii=False, separators=(",", ":")))
except RuntimeError as error:
    print("gave up:", error)`,
    ],
  },
};

// Demanded: recipes
describe.each(Object.entries(languages))(
  "the client in %s",
  (_, { missing, program }) => {
    test.skipIf(missing)("calls a tool", async () => {
      expect(await run(program(rig.url, "lab_echo"))).toBe('{"text":"ü"}');
    });

    test.skipIf(missing)(
      "tries again what may be tried again, and gives up the fifth time",
      async () => {
        await using busy = openBusy(4);
        expect(await run(program(busy.url, "lab_echo"))).toBe('{"text":"ü"}');
        expect(busy.asked).toHaveLength(5);
        await using never = openBusy(100);
        const said = await run(program(never.url, "lab_echo"));
        expect(said).toStartWith("gave up:");
        expect(never.asked).toHaveLength(5);
      },
    );

    test.skipIf(missing)(
      "does not try again what would fail again",
      async () => {
        await using idle = openBusy(0);
        const said = await run(program(idle.url, "lab_none"));
        expect(said).toStartWith("gave up:");
        expect(idle.asked).toHaveLength(1);
      },
    );
  },
);
