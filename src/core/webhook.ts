import type { Cause, EventType, JournalEntry } from "./journal.ts";
import type { Identity } from "./principal.ts";

/**
 * Webhooks: readers of the journal, each with a place in it, that are told of its entries over HTTP. An entry is
 * delivered at least once, under one id for ever.
 */

export const webhookForms = ["full", "simple"] as const;
/** What a body says: `simple` is the event alone, `full` also whose doing it was and where. */
export type WebhookForm = (typeof webhookForms)[number];

export type Webhook = {
  /** `wh_` and 32 hexadecimal digits. */
  id: string;
  workspace: string;
  url: string;
  description: string | null;
  /** Null: of every type. */
  types: readonly EventType[] | null;
  enabled: boolean;
  form: WebhookForm;
  /** How many deliveries are under way at a time. With 1 they are made in the order of the journal. */
  concurrency: number;
  /** Made by the environment, which alone has its secret; it is changed there and nowhere else. */
  configured: boolean;
  /** Null for one that is configured. */
  sealedSecret: string | null;
  /** The secret before, which signs as well until `previousUntil`. */
  sealedPrevious: string | null;
  previousUntil: number | null;
  /** Number of the last entry that was looked at for it. */
  cursor: number;
  /** Entries that it should have been told of, and that went out of the journal first; 0 after a delivery. */
  missed: number;
  /** Since when no delivery has been taken; null when the last one was. */
  failingSince: number | null;
  /** Why it was turned off, when nobody did. */
  disabledReason: "gone" | "failing" | null;
  disabledAt: number | null;
  /** Goes up with every change that somebody makes. */
  version: number;
  createdAt: number;
  updatedAt: number;
  createdBy: string | null;
};

export type NewWebhook = Omit<
  Webhook,
  | "cursor"
  | "missed"
  | "failingSince"
  | "disabledReason"
  | "disabledAt"
  | "version"
  | "updatedAt"
>;

export type WebhookEdit = Partial<
  Pick<
    Webhook,
    | "url"
    | "description"
    | "types"
    | "enabled"
    | "form"
    | "concurrency"
    | "sealedSecret"
    | "sealedPrevious"
    | "previousUntil"
  >
>;

/** Each method that writes is one transaction and resolves after it is on disk. Those with a `cause` are in the journal. */
export type WebhookStore = {
  /** In the order in which they were made; another workspace's are not found. */
  list(workspace: string): Webhook[];
  find(workspace: string, id: string): Webhook | null;
  /** Those that are turned on, of all workspaces. */
  enabled(): Webhook[];
  /** Those that the environment has made, of all workspaces. */
  configured(): Webhook[];
  /** It is told of what comes from now on. Throws `conflict` when the workspace has `most`. */
  create(webhook: NewWebhook, most: number, cause?: Cause): Promise<Webhook>;
  /**
   * Applies a pure rule; null leaves it as it is. One that is turned on again, or has another URL, has its deliveries
   * tried at once and as if for the first time. Null when there is none.
   */
  edit(
    workspace: string,
    id: string,
    rule: (current: Webhook) => WebhookEdit | null,
    at: number,
    cause?: Cause,
  ): Promise<Webhook | null>;
  /** With its deliveries. Null when there is none; throws what `rule` throws. */
  remove(
    workspace: string,
    id: string,
    rule: (current: Webhook) => void,
    cause?: Cause,
  ): Promise<Webhook | null>;
  /** Called after any of these, and after one was turned off because it failed; in this process. */
  onChange(listener: () => void): void;
};

/** How one attempt went. */
export type Attempt = {
  at: number;
  ms: number;
  /** Of the answer; null when there was none. */
  status: number | null;
  /** What kind of failure it was; null for none. */
  error: string | null;
};

export const deliveryStates = [
  "pending",
  "delivering",
  "delivered",
  "dead",
] as const;
export type DeliveryState = (typeof deliveryStates)[number];

/** One entry on its way to one webhook. */
export type Delivery = {
  seq: number;
  /** Id of the entry. */
  event: string;
  type: EventType;
  state: DeliveryState;
  /** Sent again because somebody asked: it waits for none and none for it. */
  replayed: boolean;
  attempts: number;
  /** When it is tried next; null when that is over. */
  dueAt: number | null;
  /** The last attempts, the oldest first. */
  log: readonly Attempt[];
  createdAt: number;
  finishedAt: number | null;
};

/** A delivery that is for whoever has claimed it, until its lease is over. */
export type Claimed = {
  seq: number;
  claim: number;
  /** Attempts before this one. */
  attempts: number;
  entry: JournalEntry;
};

/** What becomes of a delivery after an attempt. */
export type Settlement = {
  state: "pending" | "delivered" | "dead";
  /** When to try again; null when it is done. */
  dueAt: number | null;
  failingSince: number | null;
  /** Turns the webhook off. */
  disable: Webhook["disabledReason"];
};

export type DeliveryStore = {
  /**
   * Takes up what is due, and then what is new in the journal, at most `most` and no more than the webhook may have
   * under way. With a concurrency of 1, what has failed holds up all that is after it. Nothing when the webhook is
   * turned off.
   */
  claim(
    id: string,
    at: { now: number; until: number },
    most: number,
  ): Promise<{
    webhook: Webhook | null;
    claimed: Claimed[];
    /** There is more in the journal to look at. */
    more: boolean;
    /** When something is due, as far as it is known. */
    dueAt: number | null;
  }>;
  /**
   * Keeps how an attempt went, and in the journal what somebody should know of it. `rule` is pure. Null when somebody
   * else has claimed the delivery since, or it is gone.
   */
  settle(
    id: string,
    claimed: Claimed,
    attempt: Attempt,
    rule: (webhook: Webhook, attempts: number) => Settlement,
  ): Promise<Settlement | null>;
  /** Gives back what was claimed and not tried to the end. */
  release(id: string, claimed: Claimed, now: number): Promise<void>;
  /** The same for all that processes had claimed which are gone; for the start. */
  releaseAll(now: number): Promise<void>;
  /** The clock was set back by so much, to `now`: what is due later is due as much earlier. */
  setBack(ms: number, now: number): Promise<void>;
  /** The newest first, before the event `before`. */
  list(
    id: string,
    of: { state: DeliveryState | null; before: string | null; limit: number },
  ): Delivery[];
  find(id: string, event: string): Delivery | null;
  /**
   * Sends again what was delivered or given up: one, or (null) all that was given up. One that waits for its next
   * attempt is due at once, in its order. How many; those whose entry the journal keeps no longer are not among them.
   * In the journal, unless there are none.
   */
  replay(
    id: string,
    event: string | null,
    now: number,
    cause?: Cause,
  ): Promise<number>;
  /**
   * Forgets, of each webhook, what is done and was so before `before`, or is more than `most`; up to `limit` of each
   * kind. How many.
   */
  prune(before: number, most: number, limit: number): Promise<number>;
};

/** What has come in, so that it counts once. */
export type ReceivedStore = {
  /** False when any of the ids has been seen already. Forgets those whose time is over. */
  admit(ids: readonly string[], until: number, now: number): Promise<boolean>;
};

/** Whose connection has changed, as a webhook of Membrane's tells; see {@link ConnectionEvents}. */
export type ConnectionEvent = Identity & { type: string };

/**
 * Reads a webhook of Membrane's. Throws `unauthenticated` when its token does not verify, or is of somebody else;
 * null when it tells of nothing that matters here.
 */
export type ConnectionEvents = (
  token: string,
  /** Called once the token has been verified; what it throws is thrown. */
  body: () => unknown,
) => Promise<ConnectionEvent | null>;

/** Whether an entry is for this webhook. What it has failed at it is never told: that would fail as well. */
export function wants(
  { id, workspace, types }: Webhook,
  entry: Pick<JournalEntry, "workspace" | "type" | "data">,
): boolean {
  return (
    entry.workspace === workspace &&
    (types === null || types.includes(entry.type)) &&
    !(entry.type === "webhook_failed" && entry.data["webhook"] === id)
  );
}

/** Where it goes, without what may be its credential: many have it in the path or the query. */
export function originOf(url: string): string {
  return URL.canParse(url) ? `${new URL(url).origin}/…` : "…";
}
