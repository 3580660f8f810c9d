import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import type { Rig } from "../support/app.ts";
import { openRig, WORKSPACE_KEY } from "../support/app.ts";
import { createRest } from "../support/absent-servers.ts";
import { launch } from "../support/binary.ts";
import { answeredSecret } from "../support/suite-secrets.ts";

/** The search that every test makes when it closes its server finds what there is to be found. */

const log = (rig: Rig, text: string) =>
  void rig.lines.push({ level: "info", event: "leaky", of: `<${text}>` });

function store(rig: Rig, text: string): void {
  using db = new Database(databaseFile(rig.directory));
  db.run("INSERT INTO meta VALUES ('leaky', ?)", [`<${text}>`]);
}

const signatureOf = async (rig: Rig) =>
  (await rig.tokenFor("ada")).split(".")[2]!;

async function newKey(rig: Rig): Promise<string> {
  const path = `/api/v2/w/${WORKSPACE_KEY}/api-keys`;
  const who = await rig.tokenFor("ada");
  const body = { name: "k", scope: "apps:read" };
  const made = await createRest(rig.url)(who, `POST ${path}`, body);
  return made.body.key.split("_")[2].slice(0, -6);
}

const credential = (rig: Rig, token: string) =>
  fetch(`${rig.url}/mcp?mode=static&token=${token}`, { method: "POST" });

// Demanded: secrets-nowhere
describe("a test fails whose server", () => {
  test.each<[string, string, (rig: Rig) => Promise<unknown>]>([
    [
      "logs the signature of a token",
      "the log: the token of ada",
      async (rig) => log(rig, await signatureOf(rig)),
    ],
    [
      "logs a new API key, in base64",
      "the log: /api/v2/w/wk-test/api-keys key",
      async (rig) => log(rig, btoa(`me:${await newKey(rig)}`)),
    ],
    [
      "stores the signature of a token",
      "membrane-mcp.db: the token of ada",
      async (rig) => store(rig, await signatureOf(rig)),
    ],
    [
      "stores its key, in hex",
      "membrane-mcp.db: ENCRYPTION_KEY",
      async (rig) => store(rig, Buffer.from(KEY).toString("hex")),
    ],
    [
      "logs what a tool may tell",
      "the log: /mcp token",
      async (rig) => {
        await credential(rig, answeredSecret("told-by-a-tool-1234567"));
        log(rig, "told-by-a-tool-1234567");
      },
    ],
  ])("%s", async (_, words, leak) => {
    const rig = await openRig({
      env: {
        TOKEN_SCOPES: "apps:admin",
        ENCRYPTION_KEY: Buffer.from(KEY).toString("base64"),
      },
    });
    await leak(rig);
    await expect(rig[Symbol.asyncDispose]()).rejects.toThrow(
      `A secret has leaked into ${words}`,
    );
  });

  test("prints one, when it is a program", async () => {
    const secret = crypto.randomUUID();
    const env = { METRICS_TOKEN: secret };
    const script = "console.error('<' + process.env.METRICS_TOKEN + '>')";
    const run = launch([process.execPath, "-e", script], env, ".");
    await expect(run.exited).rejects.toThrow("METRICS_TOKEN");
  });
});
const KEY = crypto.getRandomValues(new Uint8Array(32));

test("what a tool has told its caller may be stored", async () => {
  await using rig = await openRig();
  await credential(rig, answeredSecret("told-by-a-tool-7654321"));
  store(rig, "told-by-a-tool-7654321");
});
