import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { succeeds } from "../support/binary.ts";
import { openReceiver } from "../support/receiver.ts";
import { entry, openWebhookRig } from "../support/webhook-rig.ts";

/** What the README tells receivers to do, done. */

const readme = readFileSync(join(import.meta.dir, "../../README.md"), "utf8");
const example = (language: string) =>
  new RegExp(`\`\`\`${language}\n([^\`]*verify[^\`]*)\`\`\``).exec(readme)![1]!;

/** A delivery as of now, its secret, and the same with one byte more. */
async function delivered() {
  await using rig = await openWebhookRig();
  rig.clock.advance(Date.now() - rig.clock.now());
  await using receiver = await openReceiver();
  const { secret } = await rig.add(receiver.url);
  await rig.happen(entry("tool_executed", { tool: "lab_écho" }));
  const [{ headers, body }] = (await receiver.until(1)) as [any];
  return { secret, headers: headers as Record<string, string>, body };
}

async function runs(command: string[], secret: string, input: string) {
  const child = Bun.spawn(command, {
    cwd: join(import.meta.dir, "../.."),
    env: { ...process.env, WEBHOOK_SECRET: secret },
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return (out + error).trim();
}

// Demanded: recipes
test.skipIf(!succeeds("python3", "--version"))(
  "the receiver in Python takes what we send, and nothing else",
  async () => {
    const { secret, headers, body } = await delivered();
    const program = `${example("python")}
import sys
body = sys.stdin.buffer.read()
print(verify_signature(body, sys.argv[1]), verify_signature(body + b" ", sys.argv[1]), verify_signature(body, "t=1,v1=00"), verify_signature(body, None))`;
    const signature = headers["x-mcp-signature"]!;
    expect(
      await runs(["python3", "-c", program, signature], secret, body),
    ).toBe("True False False False");
    const rotated = signature.replace(",v1=", `,v1=${"0".repeat(64)},v1=`);
    expect(
      await runs(["python3", "-c", program, rotated], secret, body),
    ).toStartWith("True");
  },
);

test.skipIf(!succeeds("node", "--version"))(
  "the receiver in Node takes what we send, and nothing else",
  async () => {
    const { secret, headers, body } = await delivered();
    const [imports, ...lines] = example("js").split("\n");
    const program = `${imports}
const headers = JSON.parse(process.argv[1]);
const verify = (body) => {${lines.join("\n")}
return event;};
const text = await new Response(process.stdin).text();
console.log(verify(text).event);
try { verify(text + " "); } catch { console.log("refused"); }`;
    const sent = JSON.stringify(headers);
    const command = ["node", "--input-type=module", "-e", program, sent];
    expect(await runs(command, secret, body)).toBe("tool_executed\nrefused");
  },
);
