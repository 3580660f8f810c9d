import type { Exchange } from "../core/exchange.ts";
import type { Identity } from "../core/principal.ts";
import { identityKey } from "../core/principal.ts";
import type { Clock } from "../core/runtime.ts";
import { DEFAULT_VIEW } from "../core/session.ts";
import type { SessionStore, View } from "../core/session.ts";
import type { LogLevel } from "../core/source.ts";
import { logLevels } from "../core/source.ts";
import type { Catalog, Catalogs } from "../gateway/catalog.ts";
import type { Toolbox } from "../gateway/toolbox.ts";
import type { Calls, Outcome } from "./calls.ts";
import {
  checkParamHeaders,
  checkStandardHeaders,
  mismatch,
} from "./headers.ts";
import type { About } from "./initialize.ts";
import { describeServer } from "./initialize.ts";
import type { RequestId, RpcMessage, RpcRequest } from "./jsonrpc.ts";
import {
  INVALID_PARAMS,
  INVALID_REQUEST,
  RpcError,
  SERVER_ERROR,
  errorText,
  isRecord,
  notificationText,
  resultText,
} from "./jsonrpc.ts";
import {
  JSON_HEADERS,
  STREAM_HEADERS,
  notAcceptable,
  readAccept,
  toolName,
} from "./legacy.ts";
import type { Method, Methods } from "./methods.ts";
import { writeStateless } from "./result.ts";
import { statelessVersions, supportedVersions } from "./versions.ts";

/**
 * Streamable HTTP of revision 2026-07-28 (basic/transports/streamable-http): every request says by itself who asks,
 * in which revision and with which capabilities, and is answered by itself. What a chat keeps is the one thing that
 * lasts, and the request names it.
 */
export type Stateless = {
  /** Throws {@link RpcError} and GatewayError. */
  post(exchange: Exchange, message: RpcMessage): Promise<Response>;
  /** A chat shows other tools now. */
  chatChanged(who: Identity, chat: string): void;
  /** Heartbeats, and whether the readers' credentials are still good. */
  tick(): void;
  /** Ends what is open, and says so to its readers. */
  closeAll(): void;
  /** Open subscriptions. */
  count(): number;
};

const PREFIX = "io.modelcontextprotocol/";
export const PROTOCOL_VERSION = `${PREFIX}protocolVersion`;
const CAPABILITIES = `${PREFIX}clientCapabilities`;
const LOG_LEVEL = `${PREFIX}logLevel`;
const SUBSCRIPTION = `${PREFIX}subscriptionId`;

const UNSUPPORTED_VERSION = -32022;

/** How exact a chat's `lastSeenAt` is: each update is a commit. */
const SEEN_MS = 60_000;

/** What may wait for a reader, in characters: beyond it notifications are dropped, and subscriptions end. */
const MAX_BEHIND = 4_194_304;

/** Notifications kept until the stream for them is open. */
const MAX_EARLY = 1000;

/** Open subscriptions of one user. */
const MAX_SUBSCRIPTIONS = 100;

const MAX_URIS = 100;

const INTERRUPTED =
  "The call was interrupted by a restart of the server; its outcome is unknown. It has not been run again.";

/** For how long what `server/discover` says is good: it changes with a deploy. */
const DISCOVERY_TTL_MS = 3_600_000;

/** Who asks, and what for. */
type Asking = Pick<Exchange, "principal" | "chat" | "asked">;

/** An open stream to one request. */
type Writer = {
  /** False when its reader is too far behind to be told. */
  notify(text: string): boolean;
  send(text: string): void;
  close(): void;
};

/** Somebody listens for changes. */
type Subscription = Writer & {
  /** Of its request, what is still needed: it may have been large. */
  exchange: Asking & Pick<Exchange, "stillValid">;
  id: RequestId;
  /** Digests of the lists that it listens for, as it was last told of them; null when that is not known. */
  lists: Map<ListName, string | null>;
  /** URIs of the resources that it listens for. */
  uris: ReadonlySet<string>;
};

const listNames = ["tools", "prompts", "resources"] as const;
type ListName = (typeof listNames)[number];

export function createStateless(wiring: {
  about: About;
  methods: Methods;
  toolbox: Pick<Toolbox, "find">;
  calls: Calls;
  sessions: SessionStore;
  catalogs: Catalogs;
  clock: Clock;
  /** A call that takes longer is answered on a stream: what is silent for too long gets cut off on its way. */
  streamAfterMs: number;
  /** How old a catalogue may be while somebody listens for its changes. */
  pollMs: number;
}): Stateless {
  const { about, methods, toolbox, calls, sessions, catalogs, clock } = wiring;
  const write = writeStateless(about.server);
  const streams = new Set<{ beat(): unknown }>();
  const subscriptions = new Map<string, Set<Subscription>>();
  /** Ends each call that is being answered, with an error. */
  const answering = new Set<() => void>();

  const discover: Method = (_params, { customer }) => ({
    fields: `"supportedVersions":${JSON.stringify(supportedVersions)},${describeServer(about, "stateless", customer.view)}`,
    ttlMs: () => DISCOVERY_TTL_MS,
  });

  /** What a request shows: what its chat keeps, and what its URL says. */
  function viewOf({ principal, chat, asked }: Asking): View {
    const kept = chat === null ? null : sessions.findChat(principal, chat);
    const view = { ...DEFAULT_VIEW, ...kept?.view, ...asked };
    // Without a chat nothing keeps what is enabled, and a list must not depend on earlier requests.
    return chat === null && view.mode === "dynamic"
      ? { ...view, mode: "search" }
      : view;
  }

  /** Keeps what the URL of a chat's request says, and that the chat is used. */
  async function keepChat(exchange: Exchange): Promise<void> {
    const { principal, chat, asked, log } = exchange;
    if (chat === null) return;
    log["chat"] = chat;
    const kept = sessions.findChat(principal, chat);
    const now = clock.now();
    const due = kept
      ? now - kept.lastSeenAt > SEEN_MS ||
        !Bun.deepEquals({ ...kept.view, ...asked }, kept.view)
      : Object.keys(asked).length > 0;
    if (!due) return;
    await sessions.editChat(
      principal,
      chat,
      (view) => ({ ...(view ?? DEFAULT_VIEW), ...asked }),
      now,
    );
    const session = sessions.findByChat(principal, chat);
    if (session) calls.tellChange(session);
    chatChanged(principal, chat);
  }

  async function enable(exchange: Exchange, names: string[]): Promise<void> {
    const { principal, asked } = exchange;
    const chat = exchange.chat!;
    const session = sessions.findByChat(principal, chat);
    if (session) return calls.enable(session, names, null);
    await sessions.editChat(
      principal,
      chat,
      (view) => ({ ...(view ?? DEFAULT_VIEW), ...asked, enabled: names }),
      clock.now(),
    );
    chatChanged(principal, chat);
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
    const stream = openStream(stop);
    writer = stream.writer;
    for (const text of early) writer.notify(text);
    void outcome.then(({ text }) => {
      stream.writer.send(text);
      stream.writer.close();
    });
    return new Response(stream.readable, { headers: STREAM_HEADERS });
  }

  /** `gone`: its reader has closed it, or has stalled. */
  function openStream(gone: () => void) {
    let controller!: ReadableStreamDefaultController<string>;
    let open = true;
    const end = (how: () => void) => {
      if (!open) return;
      open = false;
      streams.delete(stream);
      how();
    };
    const enqueue = (text: string) => {
      if (open) controller.enqueue(text);
    };
    const behind = () => open && controller.desiredSize! <= 0;
    const message = (text: string) => `event: message\ndata: ${text}\n\n`;
    const stream = { beat: () => behind() || enqueue(": heartbeat\n\n") };
    const writer: Writer = {
      notify(text) {
        if (behind()) return false;
        enqueue(message(text));
        return true;
      },
      send: (text) => enqueue(message(text)),
      close: () => end(() => controller.close()),
    };
    const readable = new ReadableStream<string>(
      {
        start(c) {
          controller = c;
          c.enqueue(": open\n\n");
        },
        cancel: () => end(gone),
      },
      { highWaterMark: MAX_BEHIND, size: (text = "") => text.length },
    );
    streams.add(stream);
    return { readable, writer };
  }

  /** `subscriptions/listen` (basic/patterns/subscriptions). */
  async function listen(
    exchange: Exchange,
    request: RpcRequest,
  ): Promise<Response> {
    const wanted = request.params["notifications"];
    if (!isRecord(wanted)) {
      throw new RpcError(
        INVALID_PARAMS,
        'subscriptions/listen takes an object of "notifications".',
      );
    }
    const { principal } = exchange;
    const uris = wanted["resourceSubscriptions"] ?? [];
    if (!isUris(uris)) {
      throw new RpcError(
        INVALID_PARAMS,
        `"resourceSubscriptions" takes at most ${MAX_URIS} URIs.`,
      );
    }
    const key = identityKey(principal);
    if ((subscriptions.get(key)?.size ?? 0) >= MAX_SUBSCRIPTIONS) {
      throw new RpcError(
        SERVER_ERROR,
        `There are ${MAX_SUBSCRIPTIONS} open subscriptions of this user already. Close one first.`,
        { status: 429 },
      );
    }
    await keepChat(exchange);
    const { readable, writer } = openStream(() => forget(subscription));
    const catalog = catalogs.peek(principal);
    const { has } = about;
    const lists = listNames.filter(
      (name) =>
        wanted[`${name}ListChanged`] === true &&
        (name === "tools" || has[name]),
    );
    const subscription: Subscription = {
      ...writer,
      exchange: {
        principal,
        chat: exchange.chat,
        asked: exchange.asked,
        stillValid: exchange.stillValid,
      },
      id: request.id,
      lists: new Map(
        lists.map((name) => [name, digestOf(exchange, catalog, name)]),
      ),
      uris: new Set(has.resources ? uris : []),
    };
    const mine = subscriptions.get(key) ?? new Set();
    subscriptions.set(key, mine.add(subscription));
    exchange.holdOpen();
    notify(subscription, "notifications/subscriptions/acknowledged", {
      notifications: {
        ...Object.fromEntries(
          lists.map((name) => [`${name}ListChanged`, true]),
        ),
        ...(subscription.uris.size > 0
          ? { resourceSubscriptions: [...subscription.uris] }
          : {}),
      },
    });
    if (lists.length > 0) catalogs.warm(principal, wiring.pollMs);
    return new Response(readable, { headers: STREAM_HEADERS });
  }

  function forget(subscription: Subscription): void {
    const key = identityKey(subscription.exchange.principal);
    const mine = subscriptions.get(key);
    mine?.delete(subscription);
    if (mine?.size === 0) subscriptions.delete(key);
  }

  const metaOf = ({ id }: Subscription) => ({ [SUBSCRIPTION]: id });

  function notify(
    subscription: Subscription,
    method: string,
    params: Record<string, unknown> = {},
  ): void {
    const _meta = metaOf(subscription);
    const told = subscription.notify(
      notificationText(method, { _meta, ...params }),
    );
    // Its client opens another, and lists anew.
    if (!told) finish(subscription);
  }

  /** The server's own end of it ("Graceful Closure"). */
  function finish(subscription: Subscription): void {
    forget(subscription);
    const result = write({ fields: "", meta: metaOf(subscription) });
    subscription.send(resultText(subscription.id, result));
    subscription.close();
  }

  function digestOf(
    exchange: Asking,
    catalog: Catalog | null,
    list: ListName,
  ): string | null {
    if (catalog === null) return null;
    return list === "tools"
      ? catalog.show(viewOf(exchange)).digest
      : catalog.digests[list];
  }

  /** Tells a subscription once of each list that is not as it was last told of it. */
  function compareLists(
    subscription: Subscription,
    catalog: Catalog | null,
  ): void {
    const { lists, exchange } = subscription;
    for (const [list, before] of lists) {
      const digest = digestOf(exchange, catalog, list);
      if (digest !== null && digest === before) continue;
      lists.set(list, digest);
      notify(subscription, `notifications/${list}/list_changed`);
    }
  }

  catalogs.onLoad((who, catalog) => {
    for (const subscription of subscriptions.get(identityKey(who)) ?? []) {
      compareLists(subscription, catalog);
    }
  });

  catalogs.onUpdate((who, uri) => {
    const meant = who
      ? [subscriptions.get(identityKey(who)) ?? []]
      : subscriptions.values();
    for (const mine of meant) {
      for (const subscription of mine) {
        if (!subscription.uris.has(uri)) continue;
        notify(subscription, "notifications/resources/updated", { uri });
      }
    }
  });

  function chatChanged(who: Identity, chat: string): void {
    for (const subscription of subscriptions.get(identityKey(who)) ?? []) {
      if (subscription.exchange.chat === chat) {
        compareLists(subscription, catalogs.peek(who));
      }
    }
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
          ? await listen(exchange, message)
          : await answer(exchange, message);
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        const { code, status, data } = error;
        throw new RpcError(code, error.message, {
          id: message.id,
          status,
          ...(data ? { data } : {}),
        });
      }
    },
    chatChanged,
    tick() {
      for (const stream of streams) stream.beat();
      for (const mine of subscriptions.values()) {
        for (const subscription of mine) {
          const { stillValid, principal } = subscription.exchange;
          if (subscription.lists.size > 0) {
            catalogs.warm(principal, wiring.pollMs);
          }
          stillValid().then(
            (valid) => valid || finish(subscription),
            // Who is asking cannot be learned just now; asked again at the next heartbeat.
            () => {},
          );
        }
      }
    },
    closeAll() {
      for (const interrupt of answering) interrupt();
      for (const mine of subscriptions.values()) {
        for (const subscription of mine) finish(subscription);
      }
    },
    count: () => streams.size,
  };
}

function isUris(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length <= MAX_URIS &&
    value.every((uri) => typeof uri === "string" && uri.length <= 4096)
  );
}

/** Throws {@link RpcError} for a request that does not say all that it must about itself (basic/index, "General fields"). */
function readEnvelope(headers: Headers, { method, params }: RpcRequest): void {
  const meta = isRecord(params["_meta"]) ? params["_meta"] : {};
  const version = meta[PROTOCOL_VERSION];
  const header = headers.get("mcp-protocol-version");
  if (version === undefined && header !== null) requireSupported(header);
  if (typeof version !== "string") throw missing(PROTOCOL_VERSION, "a string");
  if (header === null) {
    throw mismatch("the MCP-Protocol-Version header is missing");
  }
  if (header !== version) {
    throw mismatch("MCP-Protocol-Version differs from the body");
  }
  requireSupported(version);
  if (!isRecord(meta[CAPABILITIES])) throw missing(CAPABILITIES, "an object");
  checkStandardHeaders(headers, method, params);
}

/** What a request that {@link readEnvelope} has passed says of its caller. */
function callerOf({ params }: RpcRequest) {
  const meta = params["_meta"] as Record<string, unknown>;
  const level = meta[LOG_LEVEL] as LogLevel;
  return {
    capabilities: meta[CAPABILITIES] as Record<string, unknown>,
    logLevel: logLevels.includes(level) ? level : null,
  };
}

function requireSupported(version: string): void {
  if (statelessVersions.includes(version)) return;
  throw new RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", {
    data: { supported: supportedVersions, requested: version.slice(0, 64) },
  });
}

function missing(key: string, what: string): RpcError {
  return new RpcError(
    INVALID_PARAMS,
    `Invalid params: "_meta" must have "${key}", ${what}.`,
  );
}
