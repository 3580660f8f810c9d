import type { Exchange } from "../core/exchange.ts";
import type { Identity, Principal } from "../core/principal.ts";
import type { Clock } from "../core/runtime.ts";
import { DEFAULT_VIEW } from "../core/session.ts";
import type { SessionStore, View } from "../core/session.ts";
import type { Catalogs } from "../gateway/catalog.ts";
import type { Library } from "../gateway/library.ts";
import type { Toolbox } from "../gateway/toolbox.ts";
import type { Calls, Outcome } from "./calls.ts";
import { callerOf, readEnvelope, requireSupported } from "./envelope.ts";
import { checkParamHeaders } from "./headers.ts";
import type { About } from "./initialize.ts";
import { describeServer } from "./initialize.ts";
import type { RpcMessage, RpcRequest } from "./jsonrpc.ts";
import {
  INVALID_REQUEST,
  RpcError,
  SERVER_ERROR,
  errorText,
  isRecord,
} from "./jsonrpc.ts";
import {
  JSON_HEADERS,
  STREAM_HEADERS,
  notAcceptable,
  readAccept,
  toolName,
} from "./legacy.ts";
import type { Method, Methods } from "./methods.ts";
import type { Observation } from "./observation.ts";
import { writeStateless } from "./result.ts";
import type { Asking } from "./subscriptions.ts";
import { createSubscriptions } from "./subscriptions.ts";
import { supportedVersions } from "./versions.ts";
import type { Listeners } from "./watches.ts";
import type { Writer } from "./writers.ts";
import { createWriters } from "./writers.ts";

/**
 * Streamable HTTP of revision 2026-07-28 (basic/transports/streamable-http): every request says by itself who asks,
 * in which revision and with which capabilities, and is answered by itself. What a chat keeps is the one thing that
 * lasts, and the request names it.
 */
export type Stateless = {
  /** Throws {@link RpcError} and GatewayError. */
  post(exchange: Exchange, message: RpcMessage): Promise<Response>;
  /** A chat shows other tools now. */
  chatChanged(who: Identity, chat: string, server: string | null): void;
  listeners: Listeners;
  /** Heartbeats, and whether the readers' credentials are still good. */
  tick(): void;
  /** Ends what is open, and says so to its readers. */
  closeAll(): void;
  /** Open streams. */
  count(): number;
};

/** How exact a chat's `lastSeenAt` is: each update is a commit. */
const SEEN_MS = 60_000;

/** Notifications kept until the stream for them is open. */
const MAX_EARLY = 1000;

const INTERRUPTED =
  "The call was interrupted by a restart of the server; its outcome is unknown. It has not been run again.";

/** For how long what `server/discover` says is good: it changes with a deploy, and with what apps say of themselves. */
const DISCOVERY_TTL_MS = 300_000;

export function createStateless(wiring: {
  about: About;
  methods: Methods;
  observation: Observation;
  toolbox: Pick<Toolbox, "find">;
  calls: Calls;
  sessions: SessionStore;
  catalogs: Catalogs;
  clock: Clock;
  /** A call that takes longer is answered on a stream: what is silent for too long gets cut off on its way. */
  streamAfterMs: number;
  library: Pick<Library, "ownerOf">;
  /** Told when somebody begins to listen. */
  listening: (principal: Principal) => void;
  /** How old a catalogue may be while somebody listens for its changes. */
  pollMs: number;
}): Stateless {
  const { about, methods, toolbox, calls, sessions, catalogs, clock } = wiring;
  const write = writeStateless(about.server);
  const writers = createWriters();
  const subscriptions = createSubscriptions({
    about,
    catalogs,
    writers,
    write,
    viewOf,
    keepChat,
    library: wiring.library,
    listening: wiring.listening,
    pollMs: wiring.pollMs,
  });
  /** Ends each call that is being answered, with an error. */
  const answering = new Set<() => void>();

  const discover: Method = (_params, { customer }) => ({
    fields: `"supportedVersions":${JSON.stringify(supportedVersions)},${describeServer(about, customer.principal, customer.view)}`,
    ttlMs: () => DISCOVERY_TTL_MS,
  });

  /** What a request shows: what its chat keeps, and what its URL says. */
  function viewOf({ principal, chat, asked, server }: Asking): View {
    const kept =
      chat === null ? null : sessions.findChat(principal, chat, server);
    const view = { ...DEFAULT_VIEW, ...kept?.view, ...asked, server };
    // Without a chat nothing keeps what is enabled, and a list must not depend on earlier requests.
    return chat === null && view.mode === "dynamic"
      ? { ...view, mode: "search" }
      : view;
  }

  /** Keeps what the URL of a chat's request says, and that the chat is used. */
  async function keepChat(exchange: Exchange): Promise<void> {
    const { principal, chat, asked, server, log } = exchange;
    if (chat === null) return;
    log["chat"] = chat;
    const kept = sessions.findChat(principal, chat, server);
    const now = clock.now();
    const due = kept
      ? now - kept.lastSeenAt > SEEN_MS ||
        !Bun.deepEquals({ ...kept.view, ...asked }, kept.view)
      : Object.keys(asked).length > 0;
    if (!due) return;
    await sessions.editChat(
      principal,
      chat,
      server,
      (view) => ({ ...(view ?? DEFAULT_VIEW), ...asked }),
      now,
    );
    const session = sessions.findByChat(principal, chat, server);
    if (session) calls.tellChange(session);
    subscriptions.chatChanged(principal, chat, server);
  }

  async function enable(exchange: Exchange, names: string[]): Promise<void> {
    const { principal, asked, server } = exchange;
    const chat = exchange.chat!;
    const session = sessions.findByChat(principal, chat, server);
    if (session) return calls.enable(session, names, null);
    await sessions.editChat(
      principal,
      chat,
      server,
      (view) => ({ ...(view ?? DEFAULT_VIEW), ...asked, enabled: names }),
      clock.now(),
    );
    subscriptions.chatChanged(principal, chat, server);
  }

  /** The method, after what its headers say of its arguments was compared. */
  function methodOf(exchange: Exchange, view: View, name: string): Method {
    if (name === "server/discover") return discover;
    const method = methods.find(name, "stateless");
    if (name !== "tools/call") return method;
    return async (params, context) => {
      const { name: tool, arguments: args } = params;
      const found =
        typeof tool === "string" &&
        // What keeps it from being found, the call itself will say.
        (await toolbox
          .find({ principal: exchange.principal, view }, tool)
          .catch(() => null));
      if (found) {
        checkParamHeaders(
          exchange.request.headers,
          found.offer.tool.inputSchema,
          isRecord(args) ? args : {},
        );
      }
      return method(params, context);
    };
  }

  async function answer(
    exchange: Exchange,
    request: RpcRequest,
  ): Promise<Response> {
    const { principal, chat } = exchange;
    const { signal } = exchange.request;
    await keepChat(exchange);
    // Nobody is there any more, and nothing has begun.
    if (signal.aborted) return new Response(null, { status: 499 });
    const view = viewOf(exchange);
    let writer: Writer | null = null;
    const early: string[] = [];
    const streamed = Promise.withResolvers<null>();
    const interrupted = Promise.withResolvers<Outcome>();
    const interrupt = () => {
      stop();
      interrupted.resolve({
        text: errorText(request.id, SERVER_ERROR, INTERRUPTED),
        status: 503,
      });
    };
    answering.add(interrupt);
    const { outcome: finished, stop } = calls.detached(
      {
        session: null,
        customer: { principal, view },
        enable: chat === null ? null : (names) => enable(exchange, names),
        caller: callerOf(request),
        request,
        method: methodOf(exchange, view, request.method),
        write,
      },
      (text) => {
        if (writer) return void writer.notify(text);
        if (early.length < MAX_EARLY) early.push(text);
        streamed.resolve(null);
      },
    );
    const outcome = Promise.race([finished, interrupted.promise]).finally(() =>
      answering.delete(interrupt),
    );
    // Closing the connection cancels (basic/patterns/cancellation).
    signal.addEventListener("abort", stop);
    const timer = setTimeout(
      () => streamed.resolve(null),
      wiring.streamAfterMs,
    );
    exchange.holdOpen();
    const soon = await Promise.race([outcome, streamed.promise]);
    clearTimeout(timer);
    if (soon !== null) {
      signal.removeEventListener("abort", stop);
      return new Response(soon.text, {
        status: soon.status,
        headers: JSON_HEADERS,
      });
    }
    const stream = writers.open(stop);
    writer = stream.writer;
    for (const text of early) writer.notify(text);
    void outcome.then(({ text }) => {
      stream.writer.send(text);
      stream.writer.close();
    });
    return new Response(stream.readable, { headers: STREAM_HEADERS });
  }

  return {
    async post(exchange, message) {
      if (!readAccept(exchange.request).json) return notAcceptable();
      if (message.kind === "notification") {
        const version = exchange.request.headers.get("mcp-protocol-version");
        if (version !== null) requireSupported(version);
        return new Response(null, { status: 202 });
      }
      if (message.kind === "response") {
        throw new RpcError(
          INVALID_REQUEST,
          "Invalid Request: this revision has no requests to answer.",
        );
      }
      try {
        readEnvelope(exchange.request.headers, message);
        exchange.log["tool"] = toolName(message);
        return message.method === "subscriptions/listen"
          ? await wiring.observation.during(
              { door: "mcp", request: message },
              exchange.principal,
              () => subscriptions.listen(exchange, message),
            )
          : await answer(exchange, message);
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        const { code, status, data } = error;
        throw new RpcError(code, error.message, {
          id: message.id,
          status,
          ...(data === undefined ? {} : { data }),
        });
      }
    },
    chatChanged: subscriptions.chatChanged,
    listeners: subscriptions.listeners,
    tick() {
      writers.beat();
      subscriptions.tick();
    },
    closeAll() {
      for (const interrupt of answering) interrupt();
      subscriptions.closeAll();
    },
    count: writers.count,
  };
}
