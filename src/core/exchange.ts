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

/** Who asks, and what the URL says: of an exchange, what is the same however its messages come. */
export type Approach = Omit<Exchange, "request" | "body" | "holdOpen">;

/** A WebSocket, as the one who talks over it sees it. After it is closed, what is sent goes nowhere. */
export type Socket = {
  send(text: string): void;
  /** Bytes that were sent and that the network has not taken. */
  behind(): number;
  ping(): void;
  /** After what was sent. `code`: RFC 6455, section 7.4; `reason`: at most 123 bytes. */
  close(code: number, reason: string): void;
  /** At once, and what was sent is lost. */
  cut(): void;
};

/** Who talks over a WebSocket; told of everything in this order. */
export type Peer = {
  opened(socket: Socket): void;
  /** `text`: null for a frame that is not text. */
  message(text: string | null): void;
  /** The network has taken some of what was sent. */
  drained(): void;
  /** Once, whoever has closed it. `code`: 1006 when it just went away. */
  closed(code: number): void;
};
