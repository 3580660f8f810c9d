import type { ApiKeyStore } from "./api-key.ts";
import type { EventLog } from "./event.ts";
import type { Journal } from "./journal.ts";
import type { NameStore } from "./name.ts";
import type { SealedStore } from "./sealed.ts";
import type { SessionStore } from "./session.ts";
import type { UpstreamStore } from "./upstream.ts";
import type { DeliveryStore, ReceivedStore, WebhookStore } from "./webhook.ts";

/** Everything that outlives the process. */
export type Store = AsyncDisposable & {
  sessions: SessionStore;
  events: EventLog;
  journal: Journal;
  names: NameStore;
  apiKeys: ApiKeyStore;
  sealed: SealedStore;
  upstreams: UpstreamStore;
  webhooks: WebhookStore;
  deliveries: DeliveryStore;
  received: ReceivedStore;
  /** Says how to learn which streams of a session are being read: their events are the last to go. */
  readBy(streamsRead: (sessionPk: number) => readonly number[]): void;
  /** A random secret that this database keeps under `name`; made at first use. 32 bytes. */
  secret(name: string): Uint8Array;
  /**
   * Seals what a version before this one has stored as it was, so that nothing of that is left in the file. To be
   * called before anything else; beside another process it does nothing. Throws what opening the store throws.
   */
  sealAddresses(): void;
  /** Throws when the database does not answer or cannot be written. For health checks. */
  check(): void;
  /** In bytes; `wal`: what the next checkpoint takes over; `used`: with that, and without pages that are free. */
  size(): { database: number; wal: number; used: number };
  /** Changes with every commit of another process: the command line works beside a running server. */
  othersVersion(): number;
  /** Waits for what is queued, checkpoints and closes. */
  close(): Promise<void>;
};
