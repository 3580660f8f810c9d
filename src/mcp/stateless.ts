import type { Approach, Exchange } from "../core/exchange.ts";
import { causeOf } from "../core/journal.ts";
import type { Identity, Principal } from "../core/principal.ts";
import type { Clock } from "../core/runtime.ts";
import { DEFAULT_VIEW } from "../core/session.ts";
import type { Customer } from "../gateway/catalog/toolbox.ts";
import type { Door } from "../core/telemetry.ts";
import type { SessionStore, View } from "../core/session.ts";
import type { Catalogs } from "../gateway/catalog/catalog.ts";
import type { Library } from "../gateway/catalog/library.ts";
import type { Toolbox } from "../gateway/catalog/toolbox.ts";
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
  tooManyResponse,
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
  /**
   * Begins a request on a transport that has no headers and carries many at once. `say` takes notifications, `open`
   * the reader of a subscription, whose outcome is null. Throws {@link RpcError} and GatewayError.
   */
  begin(
    approach: Approach,
    request: RpcRequest,
    say: (text: string) => void,
    open: (gone: () => void) => Writer,
  ): Promise<{ outcome: Promise<Outcome>; stop(): void } | null>;
  /** Of a plain request, which has no session either: what it shows, and what keeps the tools that it enables. */
  plain(approach: Approach): Pick<Customer, "view" | "enable">;
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
  /** Told when somebody has begun a chat. */
  began: (who: Identity) => void;
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
  async function keepChat(approach: Approach): Promise<void> {
    const { principal, chat, asked, server, log } = approach;
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
      causeOf(principal),
    );
    if (!kept) wiring.began(principal);
    const session = sessions.findByChat(principal, chat, server);
    if (session) calls.tellChange(session);
    subscriptions.chatChanged(principal, chat, server);
  }

  const keeperOf = (approach: Approach): Customer["enable"] =>
    approach.chat === null ? null : (names) => enable(approach, names);

  async function enable(approach: Approach, names: string[]): Promise<void> {
    const { principal, asked, server } = approach;
    const chat = approach.chat!;
    const session = sessions.findByChat(principal, chat, server);
    const cause = causeOf(principal);
    if (session) return calls.enable(session, names, null, cause);
    const kept = sessions.findChat(principal, chat, server);
    await sessions.editChat(
      principal,
      chat,
      server,
      (view) => ({ ...(view ?? DEFAULT_VIEW), ...asked, enabled: names }),
      clock.now(),
      cause,
    );
    if (!kept) wiring.began(principal);
    subscriptions.chatChanged(principal, chat, server);
  }

  /** The method, after what its headers, if any, say of its arguments was compared. */
  function methodOf(
    { principal }: Approach,
    headers: Headers | null,
    view: View,
    name: string,
  ): Method {
    if (name === "server/discover") return discover;
    const method = methods.find(name, "stateless");
    if (name !== "tools/call" || !headers) return method;
    return async (params, context) => {
      const { name: tool, arguments: args } = params;
      const found =
        typeof tool === "string" &&
        // What keeps it from being found, the call itself will say.
        (await toolbox.find({ principal, view }, tool).catch(() => null));
      if (found) {
        checkParamHeaders(
          headers,
          found.offer.tool.inputSchema,
          isRecord(args) ? args : {},
        );
      }
      return method(params, context);
    };
  }

  function run(
    approach: Approach,
    headers: Headers | null,
    request: RpcRequest,
    say: (text: string) => void,
    door: Door,
  ): { outcome: Promise<Outcome>; stop(): void } {
    const { principal } = approach;
    const view = viewOf(approach);
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
        enable: keeperOf(approach),
        caller: callerOf(request),
        request,
        door,
        method: methodOf(approach, headers, view, request.method),
        write,
      },
      say,
    );
    const outcome = Promise.race([finished, interrupted.promise]).finally(() =>
      answering.delete(interrupt),
    );
    return { outcome, stop };
  }

  async function answer(
    exchange: Exchange,
    request: RpcRequest,
  ): Promise<Response> {
    const { signal, headers } = exchange.request;
    calls.requireRoom(exchange.principal, request);
    await keepChat(exchange);
    // Nobody is there any more, and nothing has begun.
    if (signal.aborted) return new Response(null, { status: 499 });
    let writer: Writer | null = null;
    const early: string[] = [];
    const streamed = Promise.withResolvers<null>();
    const { outcome, stop } = run(
      exchange,
      headers,
      request,
      (text) => {
        if (writer) return void writer.notify(text);
        if (early.length < MAX_EARLY) early.push(text);
        streamed.resolve(null);
      },
      "mcp",
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
      if (signal.aborted) return new Response(null, { status: 499 });
      const { text, status, limited } = soon;
      return limited
        ? tooManyResponse(exchange.log, text, limited)
        : new Response(text, { status, headers: JSON_HEADERS });
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

  async function listen(
    exchange: Exchange,
    request: RpcRequest,
  ): Promise<Response> {
    let stream!: ReadableStream<string>;
    await subscriptions.listen(exchange, request, (gone) => {
      const { readable, writer } = writers.open(gone);
      stream = readable;
      return writer;
    });
    exchange.holdOpen();
    return new Response(stream, { headers: STREAM_HEADERS });
  }

  return {
    async begin(approach, request, say, open) {
      readEnvelope(null, request);
      if (request.method === "subscriptions/listen") {
        await subscriptions.listen(approach, request, open);
        return null;
      }
      calls.requireRoom(approach.principal, request);
      await keepChat(approach);
      return run(approach, null, request, say, "ws");
    },
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
              () => listen(exchange, message),
            )
          : await answer(exchange, message);
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        const { code, status, data, retryAfterMs } = error;
        throw new RpcError(code, error.message, {
          id: message.id,
          status,
          retryAfterMs,
          ...(data === undefined ? {} : { data }),
        });
      }
    },
    plain: (approach) => ({
      view: viewOf(approach),
      enable: keeperOf(approach),
    }),
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
