import type { Access, Viewer } from "../access.ts";
import type { Runs } from "../runs.ts";

/** What every handler behind the token check finds. */
export type Env = { Variables: { body: unknown; viewer: Viewer } };

/** What the routes work with. */
export type RouteContext = { access: Access; runs: Runs };
