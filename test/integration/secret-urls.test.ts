import { describe, expect, test } from "bun:test";
import { WORKSPACE_KEY } from "../support/app.ts";
import { openGateway } from "../support/gateway.ts";
import { openEvil } from "../support/servers/evil.ts";

/** A secret in the query of a registered URL reaches that server, and nobody who may not change it. */

const SECRET = "s3cret-in-a-query";
const query = `?api_key=${SECRET}&mode=x%26y&${SECRET}`;
const BASE = `/api/v2/w/${WORKSPACE_KEY}/mcp-servers`;

async function openTown() {
  const evil = await openEvil();
  const gateway = await openGateway({
    upstreams: [{ slug: "paid", at: evil.url + query }],
  });
  const key = await gateway.mintKey("reader");
  const read = async (path: string, method = "GET") => {
    const response = await fetch(gateway.url + path, {
      method,
      headers: { "x-api-key": key },
    });
    return { status: response.status, text: await response.text() };
  };
  return {
    evil,
    gateway,
    read,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      await evil[Symbol.asyncDispose]();
    },
  };
}

describe("a secret in the query of a server's URL", () => {
  // Demanded: servers-urls-redacted
  test("is sent to it, and shown to who may change it only", async () => {
    await using town = await openTown();
    const { gateway, evil, read } = town;
    const id = await gateway.id("paid");
    expect(evil.requests.map(({ path }) => path)).toContain(`/mcp${query}`);
    expect((await gateway.manage("GET", `/${id}`)).url).toBe(evil.url + query);
    for (const [path, method] of [
      [BASE],
      [`${BASE}/${id}`],
      [`/api/v2/w/${WORKSPACE_KEY}/app-connections/mcp-servers`],
      ["/app-connections/mcp-servers"],
      ["/servers"],
      ["/servers/paid"],
      [`${BASE}/${id}/tools`],
      [`${BASE}/${id}/test`, "POST"],
    ] as const) {
      const { status, text } = await read(path, method);
      expect([path, status]).toEqual([path, 200]);
      expect([path, text.includes(SECRET)]).toEqual([path, false]);
    }
    expect(JSON.parse((await read(`${BASE}/${id}`)).text).url).toBe(
      `${evil.url}?api_key=***&mode=***&***`,
    );
  });

  // Demanded: servers-urls-redacted
  test("is in no log and no error, also of a server that fails", async () => {
    await using town = await openTown();
    const { gateway, evil, read } = town;
    const id = await gateway.id("paid");
    const client = await gateway.client("ann");
    const told: string[] = [];
    const call = () =>
      client.text("paid_good_one", { words: "w" }).then(
        (text) => told.push(text),
        (error: Error) => told.push(error.message),
      );
    await call();
    await evil.stop();
    for (let failures = 0; failures < 7; failures++) await call();
    for (const path of ["tools", "prompts", "resources"]) {
      told.push((await read(`${BASE}/${id}/${path}`)).text);
    }
    told.push((await read(`${BASE}/${id}/test`, "POST")).text);
    const refused = await gateway
      .manage("POST", "", {
        name: "mine",
        url: `http://${SECRET}:x@127.0.0.1/mcp`,
      })
      .catch((error: Error) => error.message);
    expect(refused).toContain("without user name");
    const blocked = await gateway
      .manage("POST", "", {
        name: "inside",
        url: `http://10.0.0.1/mcp${query}`,
      })
      .catch((error: Error) => error.message);
    expect(blocked).toContain("400");
    told.push(refused, blocked);
    await client[Symbol.asyncDispose]();
    expect(told.join("\n")).not.toContain(SECRET);
    expect(gateway.lines.length).toBeGreaterThan(0);
    expect(JSON.stringify(gateway.lines)).not.toContain(SECRET);
  });
});
