/** What is sealed at rest, and by which key. */

/** Of all that is sealed, what it belongs to. */
export const sealContexts = {
  /** What everybody's requests to a server carry. */
  serverSecret: (uuid: string) => ["servers", uuid, "secret"] as const,
  serverUrl: (uuid: string) => ["servers", uuid, "url"] as const,
  serverCommand: (uuid: string) => ["servers", uuid, "command"] as const,
  serverOauth: (uuid: string) => ["servers", uuid, "oauth"] as const,
  credential: (serverUuid: string, subject: string) =>
    ["credentials", serverUuid, subject] as const,
  webhookUrl: (id: string) => ["webhooks", id, "url"] as const,
  webhookSecret: (id: string) => ["webhooks", id, "secret"] as const,
  /** The one before, while it is still good. */
  webhookPrevious: (id: string) => ["webhooks", id, "previous"] as const,
  oauthFlow: (stateHash: string) => ["oauth_flows", stateHash] as const,
};
export type SealContext = readonly (string | number)[];

/** Where sealed values are, as far as it takes to know their key and to change it. */
export type SealedStore = {
  /** A sealed value that is there to show which key seals; null when nothing has ever been sealed. */
  keyCheck(): string | null;
  /** Keeps it, unless there is one. At once, and within the transaction that is open, if any. */
  keepKeyCheck(check: string): void;
  /**
   * Applies a pure rule to all that is sealed, some of it in each transaction, until it finds nothing to change; then
   * puts the new check in the place of the old one. The rule returns null for what is to stay as it is.
   * Resolves with how many it has changed; ends early, without the check, when `goOn` says so.
   */
  resealAll(
    rule: (sealed: string, context: SealContext) => string | null,
    check: string,
    goOn: () => boolean,
  ): Promise<number>;
};
