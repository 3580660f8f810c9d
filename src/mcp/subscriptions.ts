import type { Approach } from "../core/exchange.ts";
import type { Identity, Principal } from "../core/principal.ts";
import { identityKey } from "../core/principal.ts";
import type { View } from "../core/session.ts";
import type { Catalogs } from "../gateway/catalog/catalog.ts";
import type { Catalog } from "../gateway/catalog/contents.ts";
import type { Library } from "../gateway/catalog/library.ts";
import { createPace } from "../gateway/limits/pace.ts";
import type { About } from "./initialize.ts";
import type { RequestId, RpcRequest } from "./jsonrpc.ts";
import {
  INVALID_PARAMS,
  RpcError,
  SERVER_ERROR,
  isRecord,
  notificationText,
  resultText,
} from "./jsonrpc.ts";
import type { ListName } from "./lists.ts";
import { digestOf, listNames } from "./lists.ts";
import type { WriteResult } from "./result.ts";
import type { Listeners } from "./watches.ts";
import type { Writer } from "./writers.ts";

/** Who listens for what, of stateless callers (MCP 2026-07-28, basic/patterns/subscriptions). */
export type Subscriptions = {
  /**
   * `subscriptions/listen`. Throws {@link RpcError}; otherwise opens once, with what is to be called when the reader
   * has gone, and says everything to that.
   */
  listen(
    approach: Approach,
    request: RpcRequest,
    open: (gone: () => void) => Writer,
  ): Promise<void>;
  /** A chat shows other tools now. */
  chatChanged(who: Identity, chat: string, server: string | null): void;
  listeners: Listeners;
  /** Looks for changes, and whether the readers' credentials are still good. */
  tick(): void;
  /** Ends all, and says so to their readers. */
  closeAll(): void;
};

/** Who asks, and what for. */
export type Asking = Pick<Approach, "principal" | "chat" | "asked" | "server">;

/** Somebody listens for changes. */
type Subscription = Writer & {
  /** Tells it from the others. */
  number: number;
  /** Of its request, what is still needed: it may have been large. */
  exchange: Asking & Pick<Approach, "stillValid">;
  id: RequestId;
  /** Digests of the lists that it listens for, as it was last told of them; null when that is not known. */
  lists: Map<ListName, string | null>;
  /** URIs of the resources that it listens for. */
  uris: ReadonlySet<string>;
};

const SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId";

/** Open subscriptions of one user. */
const MAX_SUBSCRIPTIONS = 100;

const MAX_URIS = 100;

/** How often somebody is told that the same list or resource has changed. */
const PACE_MS = 1000;

export function createSubscriptions(wiring: {
  about: About;
  catalogs: Catalogs;
  write: WriteResult;
  /** What a request shows. */
  viewOf(asking: Asking): View;
  /** Keeps what the URL of a chat's request says. */
  keepChat(approach: Approach): Promise<void>;
  library: Pick<Library, "ownerOf">;
  /** Told when somebody begins to listen. */
  listening: (principal: Principal) => void;
  /** How old a catalogue may be while somebody listens for its changes. */
  pollMs: number;
}): Subscriptions {
  const { about, catalogs, write, library } = wiring;
  const subscriptions = new Map<string, Set<Subscription>>();
  const pace = createPace(PACE_MS);
  let opened = 0;

  async function listen(
    exchange: Approach,
    request: RpcRequest,
    open: (gone: () => void) => Writer,
  ): Promise<void> {
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
        { status: 429, retryAfterMs: 1000 },
      );
    }
    await wiring.keepChat(exchange);
    const writer = open(() => forget(subscription));
    const catalog = catalogs.peek(principal);
    const { has } = about;
    const lists = listNames.filter(
      (name) =>
        wanted[`${name}ListChanged`] === true &&
        (name === "tools" || has[name]),
    );
    const subscription: Subscription = {
      ...writer,
      number: ++opened,
      exchange: {
        principal,
        chat: exchange.chat,
        asked: exchange.asked,
        server: exchange.server,
        stillValid: exchange.stillValid,
      },
      id: request.id,
      lists: new Map(
        lists.map((name) => [name, digestFor(exchange, catalog, name)]),
      ),
      uris: new Set(has.resources ? uris : []),
    };
    const mine = subscriptions.get(key) ?? new Set();
    subscriptions.set(key, mine.add(subscription));
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
    if (lists.length > 0 || subscription.uris.size > 0) {
      catalogs.warm(principal, wiring.pollMs);
    }
    wiring.listening(principal);
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

  const isOpen = (subscription: Subscription) =>
    subscriptions
      .get(identityKey(subscription.exchange.principal))
      ?.has(subscription) ?? false;

  function digestFor(
    exchange: Asking,
    catalog: Catalog | null,
    list: ListName,
  ): string | null {
    return catalog && digestOf(catalog, wiring.viewOf(exchange), list);
  }

  /** Tells a subscription once of each list that is not as it was last told of it. */
  function compareLists(
    subscription: Subscription,
    catalog: Catalog | null,
  ): void {
    const { lists, exchange } = subscription;
    for (const list of lists.keys()) {
      const isNews = () => {
        const digest = digestFor(exchange, catalog, list);
        return digest === null || digest !== lists.get(list);
      };
      if (!isNews()) continue;
      pace.run(`${subscription.number} ${list}`, () => {
        if (!isOpen(subscription) || !isNews()) return;
        lists.set(list, digestFor(exchange, catalog, list));
        notify(subscription, `notifications/${list}/list_changed`);
      });
    }
  }

  catalogs.onLoad((who, catalog) => {
    for (const subscription of subscriptions.get(identityKey(who)) ?? []) {
      compareLists(subscription, catalog);
    }
  });

  catalogs.onTold(({ who, uri, app, log }) => {
    if (uri === undefined || log !== undefined) return;
    const meant = who
      ? [subscriptions.get(identityKey(who)) ?? []]
      : subscriptions.values();
    for (const mine of meant) {
      for (const subscription of mine) {
        if (!subscription.uris.has(uri)) continue;
        pace.run(`${subscription.number} ${app?.ref ?? ""} ${uri}`, () => {
          const { exchange } = subscription;
          const owner =
            app &&
            library.ownerOf(exchange.principal, wiring.viewOf(exchange), uri);
          if (!isOpen(subscription) || (owner && owner.ref !== app.ref)) return;
          notify(subscription, "notifications/resources/updated", { uri });
        });
      }
    }
  });

  function chatChanged(
    who: Identity,
    chat: string,
    server: string | null,
  ): void {
    for (const subscription of subscriptions.get(identityKey(who)) ?? []) {
      const { exchange } = subscription;
      if (exchange.chat === chat && exchange.server === server) {
        compareLists(subscription, catalogs.peek(who));
      }
    }
  }

  return {
    listen,
    chatChanged,
    listeners: {
      principals: () =>
        [...subscriptions.values()].map(
          (mine) => [...mine].at(-1)!.exchange.principal,
        ),
      wanted: (who) =>
        [...(subscriptions.get(identityKey(who)) ?? [])].flatMap(
          ({ exchange, uris }) => {
            const view = uris.size > 0 ? wiring.viewOf(exchange) : null;
            return [...uris].map((uri) => ({ view: view!, uri }));
          },
        ),
    },
    tick() {
      for (const mine of subscriptions.values()) {
        for (const subscription of mine) {
          const { stillValid, principal } = subscription.exchange;
          if (subscription.lists.size > 0 || subscription.uris.size > 0) {
            catalogs.warm(principal, wiring.pollMs);
          }
          stillValid().then(
            (now) => {
              if (now) subscription.exchange.principal = now;
              else finish(subscription);
            },
            // Who is asking cannot be learned just now; asked again at the next heartbeat.
            () => {},
          );
        }
      }
    },
    closeAll() {
      for (const mine of subscriptions.values()) {
        for (const subscription of mine) finish(subscription);
      }
    },
  };
}

function isUris(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length <= MAX_URIS &&
    value.every((uri) => typeof uri === "string" && uri.length <= 4096)
  );
}
