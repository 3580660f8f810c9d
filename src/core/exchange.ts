import type { Principal } from "./principal.ts";
import type { LogFields } from "./runtime.ts";
import type { Mode } from "./session.ts";

/** One HTTP request to the MCP door, after everything that is not MCP has been checked. */
export type Exchange = {
  request: Request;
  /** Null when the method has no body. */
  body: Uint8Array | null;
  principal: Principal;
  /** The one server that the URL shows, `/mcp/{server}`; null for everything. Not looked up yet. */
  server: string | null;
  /** The chat the caller names, or null. */
  chat: string | null;
  /** What the URL asks for explicitly. */
  asked: { mode?: Mode; apps?: string[] };
  /** Goes into the log line of this request. */
  log: LogFields;
  /** Lifts the connection's idle limit: the answer takes its time, or never ends. */
  holdOpen(): void;
  /** The caller as the credential of this request says now; null when it is no longer good. */
  stillValid(): Promise<Principal | null>;
};
