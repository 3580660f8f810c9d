import type { Identity } from "../core/principal.ts";

/** Whose token the demo prints. */
export const demoUser: Identity = { workspace: "demo", subject: "ada" };

/** What the demo's apps keep, in the data directory. */
export const DEMO_DATABASE = "demo.db";
