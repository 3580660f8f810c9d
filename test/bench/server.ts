/**
 * The whole app as shipped over a source in process, for measuring the engine. Takes the environment of
 * `membrane-mcp serve`, and TOOLS: how many tools the source has (default 2).
 */
import { createApp } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { createLog } from "../../src/runtime/log.ts";
import { createEchoSource } from "./echo.ts";

const config = readConfig({ ALLOW_SHORT_SECRET: "true", ...process.env });
const log = await createLog({
  level: config.LOG_LEVEL,
  format: config.LOG_FORMAT ?? "json",
});
const app = createApp({
  config,
  log,
  sources: [createEchoSource(Number(process.env["TOOLS"] ?? 2))],
});
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => void app.close().then(() => process.exit(0)));
}
console.log(await app.start());
