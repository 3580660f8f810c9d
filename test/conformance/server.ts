/** The product with the suite's source in Membrane's place; built like the product, and run by `run.ts`. */
import { createApp } from "../../src/app.ts";
import { readConfig } from "../../src/config.ts";
import { createLog } from "../../src/runtime/log.ts";
import { conformanceSource } from "./source.ts";

const app = createApp({
  config: readConfig(process.env),
  log: await createLog({ level: "warn", format: "json" }),
  sources: [conformanceSource],
});
console.log(await app.start());
process.on("SIGTERM", () => void app.close().then(() => process.exit(0)));
