import { z } from "zod";
import type { Cause } from "./journal.ts";
import type { Identity } from "./principal.ts";
import type { LogLevel } from "./source.ts";

export const modes = ["static", "dynamic", "search", "auto"] as const;
export type Mode = (typeof modes)[number];

/** What a session or chat shows of the catalogue. Belongs to the chat when there is one. */
export type View = {
  mode: Mode;
  /** Keys of the apps to show; null for all. Without a meaning for one server. */
  apps: string[] | null;
  /** Names enabled in dynamic mode, in the order given. */
  enabled: string[];
  /** The one server that is shown, under its own names and instead of everything; null for `/mcp`. Never changes. */
  server: string | null;
};

/** What is shown to who asks for nothing in particular. */
export const DEFAULT_VIEW: View = {
  mode: "static",
  apps: null,
  enabled: [],
  server: null,
};

export type ClientInfo = { name: string; version: string; title?: string };

/** One row. Everything a session needs to go on after a restart; what is in memory is a copy. */
export type Session = Identity & {
  /**
   * Row number; internal, never shown. Also the number of the session's own stream, the one for
   * messages that answer no POST: the GET stream, or all of an HTTP+SSE session.
   */
  pk: number;
  /** The `Mcp-Session-Id`. */
  id: string;
  chat: string | null;
  /** Negotiated revision. */
  protocolVersion: string;
  client: ClientInfo | null;
  capabilities: Record<string, unknown>;
  view: View;
  /** Digest of the tool list this session was last told of; null until it asked. */
  listed: string | null;
  /** The same of its prompts, and of its resources and templates. */
  listedPrompts: string | null;
  listedResources: string | null;
  /** The least urgent log messages that it wants; null for none. */
  logLevel: LogLevel | null;
  /** URIs of the resources whose changes it wants to hear of. */
  subscriptions: string[];
  createdAt: number;
  lastSeenAt: number;
};

/** Sessions with subscriptions that are found at once. */
export const MAX_SUBSCRIBED = 1000;

/** A chat id is opaque to us: any 1–256 characters. */
export const chatId = z.string().min(1).max(256);

export type SessionOpening = Identity &
  Pick<Session, "id" | "protocolVersion" | "client" | "capabilities"> & {
    chat: string | null;
    /** For a new session or chat. */
    view: View;
    /** Applied over what a continued chat has kept; only what the caller asked for explicitly. */
    viewChanges: Partial<Pick<View, "mode" | "apps">>;
    /** False: a session that is continued keeps its revision, client and capabilities. */
    renegotiated: boolean;
    /** SHA-256 of the HTTP+SSE ticket. */
    ticketHash: string | null;
    at: number;
    cause?: Cause;
  };

/**
 * Sessions and chats. Each method is one transaction and resolves after it is on disk.
 * Lookups take the identity: somebody else's session is not found. A chat is a chat of one URL: the same id with
 * another `server` is another chat.
 */
export type SessionStore = {
  /** Opens a session, or continues the live session of the chat under its old id. One live session per (identity, chat). */
  open(
    opening: SessionOpening,
  ): Promise<{ session: Session; resumed: boolean }>;
  find(who: Identity, id: string): Session | null;
  findByChat(
    who: Identity,
    chat: string,
    server: string | null,
  ): Session | null;
  findByPk(who: Identity, pk: number): Session | null;
  /** The same, if it was opened by HTTP+SSE. */
  findTicketed(who: Identity, pk: number): Session | null;
  /** The session that a ticket (by its hash) and an id together name, whoever asks. */
  findByTicket(id: string, ticketHash: string): Session | null;
  /** What a chat has kept, also without a session. */
  findChat(
    who: Identity,
    chat: string,
    server: string | null,
  ): { view: View; lastSeenAt: number } | null;
  /** Changes what a chat keeps, and that of its session if it has one; begins the chat when there is none (null). */
  editChat(
    who: Identity,
    chat: string,
    server: string | null,
    rule: (view: View | null) => View,
    at: number,
    cause?: Cause,
  ): Promise<void>;
  /** Chat id → session id, newest first; of the chats that show everything, not one server. */
  chats(who: Identity): { chat: string; sessionId: string }[];
  /** Sessions that have subscriptions, of one identity or (null) of all; the {@link MAX_SUBSCRIBED} newest, newest first. */
  subscribed(who: Identity | null): Session[];
  /**
   * Applies a pure, synchronous rule to the session and stores what it returns.
   * Returns null when the session is gone.
   */
  edit(pk: number, rule: SessionRule, cause?: Cause): Promise<Session | null>;
  /** Ends a session: row, chat entry, events and running calls. */
  end(pk: number, cause?: Cause): Promise<void>;
  count(): number;
  /**
   * Removes, of the sessions of this identity beyond the `most` last seen, up to `limit`, but for those to be kept; and
   * the same of chats without a session. Looks through the sessions of everybody, so not often. Returns how many it
   * had, of either, and the row numbers of the sessions removed.
   */
  trim(
    who: Identity,
    most: number,
    keep: readonly number[],
    limit: number,
  ): Promise<{ had: number; ended: number[] }>;
  /**
   * The same of a workspace: those who have most of its sessions lose theirs, down to what all can have. `inUse`: to be
   * kept, asked within the transaction.
   */
  trimWorkspace(
    workspace: string,
    most: number,
    inUse: (who: Identity) => readonly number[],
    limit: number,
  ): Promise<{ had: number; ended: number[] }>;
  /** Those that are in memory. */
  cached(): number;
  /** Removes up to `limit` sessions, and chats without one, last seen before `before`. Returns the sessions' row numbers. */
  expire(before: number, limit: number): Promise<number[]>;
};

export type SessionEdit = Partial<
  Pick<
    Session,
    | "protocolVersion"
    | "client"
    | "capabilities"
    | "view"
    | "listed"
    | "listedPrompts"
    | "listedResources"
    | "logLevel"
    | "subscriptions"
    | "lastSeenAt"
  > & { ticketHash: string }
>;
export type SessionRule = (current: Session) => SessionEdit | null;
