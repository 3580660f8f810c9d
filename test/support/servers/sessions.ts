import type { RecordedRequest } from "./recording.ts";

/** The sessions of Streamable HTTP, the way that the examples of the SDKs keep them: as live objects in a map. */
export type Sessions = {
  fetch(request: Request, recorded: RecordedRequest): Promise<Response>;
  ids(): string[];
  /** Ends all of them, and their streams; from now on their ids are unknown. */
  forget(): Promise<void>;
};

/** What both SDKs' `WebStandardStreamableHTTPServerTransport` has. */
type Transport = {
  handleRequest(request: Request): Promise<Response>;
  close(): Promise<void>;
};

export type TransportOptions = {
  sessionIdGenerator: () => string;
  onsessioninitialized: (id: string) => void;
  onsessionclosed: (id: string) => void;
  eventStore: ReturnType<typeof keepEvents>;
  retryInterval: number;
};

/** `open` makes a transport with a server of its own connected to it. `unknown`: what a session that is not known is answered. */
export function createSessions(
  open: (options: TransportOptions) => Promise<Transport>,
  unknown = 404,
): Sessions {
  const sessions = new Map<string, Transport>();

  const refuse = (status: number, code: number, message: string) =>
    Response.json(
      { jsonrpc: "2.0", error: { code, message }, id: null },
      { status },
    );

  return {
    ids: () => [...sessions.keys()],
    async forget() {
      const open = [...sessions.values()];
      sessions.clear();
      for (const transport of open) await transport.close();
    },
    async fetch(request, { body }) {
      const id = request.headers.get("mcp-session-id");
      const session = id === null ? undefined : sessions.get(id);
      if (session) return session.handleRequest(request);
      if (id !== null) return refuse(unknown, -32001, "Session not found");
      if ([body].flat().every((message) => message?.method !== "initialize")) {
        return refuse(400, -32000, "Bad Request: No valid session ID provided");
      }
      const transport = await open({
        sessionIdGenerator: () => crypto.randomUUID(),
        onsessioninitialized: (id) => void sessions.set(id, transport),
        onsessionclosed: (id) => void sessions.delete(id),
        eventStore: keepEvents(),
        retryInterval: 100,
      });
      return transport.handleRequest(request);
    },
  };
}

/** The event store of one session. */
function keepEvents() {
  const events: { stream: string; message: unknown }[] = [];
  return {
    async storeEvent(stream: string, message: unknown): Promise<string> {
      events.push({ stream, message });
      return String(events.length);
    },
    async getStreamIdForEventId(id: string): Promise<string | undefined> {
      return events[Number(id) - 1]?.stream;
    },
    async replayEventsAfter(
      id: string,
      { send }: { send: (id: string, message: any) => Promise<void> },
    ): Promise<string> {
      const { stream } = events[Number(id) - 1]!;
      for (const [index, event] of events.entries()) {
        // What opened the stream carries no message.
        const empty = Object.keys(event.message as object).length === 0;
        if (index >= Number(id) && event.stream === stream && !empty) {
          await send(String(index + 1), event.message);
        }
      }
      return stream;
    },
  };
}
