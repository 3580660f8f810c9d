import { z } from "zod";
import type { Cause } from "./journal.ts";
import type { Identity, Principal } from "./principal.ts";

/** A registered MCP server: an upstream. */

export const authTypes = [
  "none",
  "oauth",
  "direct_auth",
  "bearer",
  "api_key",
  "headers",
] as const;
/**
 * What its requests carry. `bearer`, `api_key` and `headers`: one secret for everybody; `direct_auth`: each member's own
 * token, or nothing but that the member has connected; `oauth`: each member's own grant.
 */
export type AuthType = (typeof authTypes)[number];

export const transports = ["streamable_http", "sse", "stdio"] as const;
export type Transport = (typeof transports)[number];

export type UpstreamState = "register" | "authorize" | "ready";
export type SetupStep =
  "connect" | "register_client" | "authorize" | "add_credentials";

/** Which era it speaks, learned when it was last connected. */
export type UpstreamEra = "sessions" | "stateless";

/** What it said of itself. */
export type UpstreamAbout = {
  era: UpstreamEra;
  protocolVersion: string;
  serverInfo: { name: string; version: string; title?: string };
  capabilities: Record<string, unknown>;
  instructions: string | null;
  /** Its icons, unchecked. */
  icons?: unknown;
};

/** Our registration with its authorization server. */
export type OAuthRegistration = {
  issuer: string | null;
  clientId: string | null;
  registration: "cimd" | "dcr" | "manual" | null;
  /** Asked for at the next authorization. */
  scopes: string[];
  hasClientSecret: boolean;
};

export type UpstreamFailure = { code: string; message: string; at: number };

export type Upstream = {
  id: number;
  uuid: string;
  workspace: string;
  /** Display name. */
  name: string;
  /** Unique in its workspace; what `apps=` selects, `/mcp/{slug}` shows and tool names begin with. */
  slug: string;
  description: string | null;
  /** `stdio:` and the command for a stdio server. */
  url: string;
  transport: Transport;
  /** Of a stdio server; null for the others. */
  command: { command: string; args: string[]; cwd: string | null } | null;
  authType: AuthType;
  appUuid: string | null;
  /** JSON of {@link SharedSecret}, sealed; null when there is none. */
  sealedSecret: string | null;
  state: UpstreamState;
  enabled: boolean;
  setupStep: SetupStep | null;
  oauth: OAuthRegistration | null;
  /** What belongs to the registration and is secret or only for the OAuth client; sealed. */
  sealedOauth: string | null;
  about: UpstreamAbout | null;
  /** Tools that have changed wait for approval. */
  pinned: boolean;
  lastCheckedAt: number | null;
  lastLatencyMs: number | null;
  lastError: UpstreamFailure | null;
  /** Goes up with every change; not for how the last look at it went. */
  version: number;
  createdAt: number;
  updatedAt: number;
  createdBy: string | null;
};

/** What everybody's requests to a server carry. Never shown, never logged. */
export type SharedSecret = {
  /** `bearer`: the token; `api_key`: the key. */
  token?: string;
  /** `api_key`: the header that carries it, `X-API-Key` unless said. */
  header?: string;
  headers?: Record<string, string>;
  /** Environment of a stdio server. */
  env?: Record<string, string>;
};

/** What one member has connected with. */
export type Credential = {
  serverId: number;
  subject: string;
  /** Display name of the member. */
  name: string | null;
  authType: AuthType;
  status: "active" | "expired" | "revoked";
  /** JSON of the tokens, sealed; null when the connection itself is all there is. */
  sealed: string | null;
  /** When a refresh was sent whose answer is not stored yet; null when none is under way. */
  refreshingAt: number | null;
  version: number;
  connectedAt: number;
  expiresAt: number | null;
  lastUsedAt: number | null;
};

/** Who is connected to a server, from one member's point of view. */
export type UpstreamConnections = {
  /** Members whose connection is active. */
  members: number;
  /** The member's own; null when there is none. */
  own: Credential["status"] | null;
  /** Of its icon; null when it has none. */
  iconEtag: string | null;
};

/** An authorization that a member has begun. */
export type OAuthFlow = Identity & {
  stateHash: string;
  serverId: number;
  browserHash: string;
  sealed: string;
  expiresAt: number;
};

/** What a server last listed for a member; what its methods answered, item by item as it was. */
export type UpstreamListing = {
  tools: Record<string, unknown>[];
  prompts: Record<string, unknown>[];
  resources: Record<string, unknown>[];
  resourceTemplates: Record<string, unknown>[];
};

/** One definition that a tool has had. */
export type Definition = {
  tool: string;
  /** SHA-256 of name, title, description, schemas and annotations. */
  hash: string;
  firstSeenAt: number;
  approvedAt: number | null;
  /** The member who did; null when it was approved by itself. */
  approvedBy: string | null;
};

export type Icon = {
  /** Of what the bytes are, whatever its server said. */
  type: string;
  /** As the header has it, quotes included. */
  etag: string;
  bytes: Uint8Array;
  fetchedAt: number;
};

export type UpstreamEdit = Partial<
  Omit<
    Upstream,
    "id" | "uuid" | "workspace" | "version" | "createdAt" | "updatedAt"
  >
>;

/**
 * Registered servers and what belongs to them. Each method is one transaction and resolves after it is on disk.
 * Lookups take the workspace: another's server is not found. What has a `cause` is in the journal, as the server's own
 * doing when it is left out.
 */
export type UpstreamStore = {
  /** In the order in which they were registered. Cheap, and as it is now, whoever changed it. */
  list(workspace: string): readonly Upstream[];
  /** How many there are of each kind, in all workspaces. */
  counts(): { state: Upstream["state"]; enabled: boolean; count: number }[];
  find(workspace: string, id: number): Upstream | null;
  /** By slug, or else by display name when only one has it. */
  findByName(workspace: string, name: string): Upstream | null;
  /**
   * Throws `conflict` when the slug is taken (`data.code` "slug_taken"), or the workspace has `most` servers. `rule` is
   * pure and synchronous, and is given the workspace's servers of that moment; what it throws rejects.
   */
  create(
    upstream: Omit<Upstream, "id" | "version" | "updatedAt">,
    most: number,
    rule?: (others: readonly Upstream[]) => void,
    cause?: Cause,
  ): Promise<Upstream>;
  /**
   * Applies a pure, synchronous rule and stores what it returns, with the next version if it changes anything but how
   * the last look at the server went; null changes nothing.
   * What the rule throws rejects. Resolves with null when the server is gone. With another URL or authType the
   * members' credentials go: they were for something else.
   */
  edit(
    id: number,
    rule: (current: Upstream) => UpstreamEdit | null,
    at: number,
    cause?: Cause,
  ): Promise<Upstream | null>;
  /** Removes it with all that belongs to it. */
  remove(id: number, cause?: Cause): Promise<boolean>;

  /** What a list of a workspace's servers says beside the servers themselves, by their ids. */
  connections(
    workspace: string,
    subject: string,
  ): ReadonlyMap<number, UpstreamConnections>;

  credential(serverId: number, subject: string): Credential | null;
  credentials(serverId: number): Credential[];
  /** The same as `edit`, for a member's credential; the rule is given null when there is none. */
  editCredential(
    serverId: number,
    subject: string,
    rule: (
      current: Credential | null,
    ) => Omit<Credential, "serverId" | "subject" | "version"> | null,
    cause?: Cause,
  ): Promise<Credential | null>;
  removeCredential(
    serverId: number,
    subject: string,
    cause?: Cause,
  ): Promise<boolean>;
  /** Those of all members. */
  removeCredentials(serverId: number, cause?: Cause): Promise<void>;

  /** Also forgets what has expired before `now`. */
  openFlow(flow: OAuthFlow, now: number): Promise<void>;
  /** Finds it and forgets it: a state is good once. */
  takeFlow(stateHash: string): Promise<OAuthFlow | null>;

  listing(
    serverId: number,
    subject: string,
  ): { listing: UpstreamListing; fetchedAt: number } | null;
  saveListing(
    serverId: number,
    subject: string,
    listing: UpstreamListing,
    fetchedAt: number,
  ): Promise<void>;
  /** Those of all members. */
  listings(serverId: number): UpstreamListing[];

  /** By tool, the oldest first. */
  definitions(serverId: number): Definition[];
  /**
   * Adds those that are not known yet, and gives those that are the approval they come with. Of each tool the newest
   * 20 that are approved are kept, and as many that are not; of a server with more than 10,000, no more.
   */
  addDefinitions(
    serverId: number,
    definitions: readonly Definition[],
  ): Promise<void>;
  /** False when there is no such definition. */
  approve(
    serverId: number,
    tool: string,
    hash: string,
    by: string,
    at: number,
    cause?: Cause,
  ): Promise<boolean>;
  /** Takes the approval from all definitions but those with these hashes. */
  approveOnly(serverId: number, hashes: ReadonlySet<string>): Promise<void>;

  icon(serverId: number): Icon | null;
  saveIcon(serverId: number, icon: Icon | null): Promise<void>;

  /**
   * Called after this process has changed a server, or a member's connection to one (then with its subject); not
   * for how the last look at it went, nor for tokens that were renewed. One that was removed comes disabled.
   */
  onChange(
    listener: (change: { upstream: Upstream; subject: string | null }) => void,
  ): void;
  /**
   * Workspaces whose servers, or connections to them, another process may have changed since this was last asked, or
   * the store was opened. To be asked every few seconds.
   */
  changedElsewhere(): string[];
};

/**
 * How one member's requests to one server are let in. One for each connection; asked before every request, since
 * what it gives expires.
 */
export type UpstreamAccess = {
  /**
   * Headers of the next request. Throws `needs_authorization`, with what the member has to do as its data, when
   * there is nothing to send or it cannot be renewed.
   */
  headers(): Promise<Record<string, string>>;
  /**
   * The server has refused what `headers` gave. True: renewed, try once more. Throws `needs_authorization` otherwise.
   */
  refused(refusal: {
    status: 401 | 403;
    /** Its `WWW-Authenticate`. */
    challenge: string | null;
    /** What was sent. */
    headers: Record<string, string>;
  }): Promise<true>;
  /** Environment for a stdio server. */
  env(): Record<string, string>;
};

export type UpstreamAccounts = {
  /** Throws nothing: what is missing is told by the access itself. */
  access(upstream: Upstream, principal: Principal): UpstreamAccess;
};

/** A client of ours that somebody has registered with an authorization server by hand; what is left out stays. */
export type ManualClient = {
  clientId?: string;
  /** Null: it has none. */
  clientSecret?: string | null;
  /** Asked for at the next authorization. */
  scopes?: string[];
};

/** Our side of OAuth toward registered servers, as far as those who manage them need it. */
export type UpstreamOAuth = {
  /** Our own link that a member opens to connect. */
  authorizeUrl(upstream: Upstream, principal: Principal): string;
  /** Reaches what somebody typed; throws `invalid` for a blocked destination, and tells all else in `error`. */
  discover(url: string): Promise<OAuthDiscovery>;
  /**
   * Learns of the server's authorization server and registers a client, unless there is one, and keeps both with the
   * server (`oauth`, never its state). False when that takes a person. Throws what discovery throws.
   */
  prepare(upstream: Upstream): Promise<boolean>;
  /** Keeps a client that was registered by hand. Tokens that another client was given are forgotten. */
  configure(
    upstream: Upstream,
    client: ManualClient,
    cause?: Cause,
  ): Promise<void>;
  /** Revokes and forgets every member's tokens, and our registration. Never throws: what cannot be told is forgotten. */
  disconnect(upstream: Upstream, cause?: Cause): Promise<void>;
};

/** How a look at a server went. */
export type Probe = {
  latencyMs: number;
  negotiationPath: "server_discover" | "initialize";
  about: UpstreamAbout;
  componentCounts: {
    tools: number;
    prompts: number;
    resources: number;
    resourceTemplates: number;
  };
};

/** What kind of failure a probe met; `data.failureClass` of what it throws. */
export type FailureClass =
  "transport" | "protocol" | "auth" | "invalid_response";

/** Connections to registered servers. */
export type UpstreamConnector = {
  /**
   * Connects anew and lists. Throws `needs_authorization`, `timeout`, or `upstream_failed` with `data.failureClass`.
   */
  probe(
    upstream: Upstream,
    principal: Principal,
    signal: AbortSignal,
  ): Promise<Probe>;
  /**
   * What it has for this member: asked now, or, when it does not answer, what it listed last (`stale`).
   * Throws what `probe` throws when there is neither.
   */
  listing(
    upstream: Upstream,
    principal: Principal,
    signal: AbortSignal,
  ): Promise<{ listing: UpstreamListing; fetchedAt: number; stale: boolean }>;
  /** Closes what is open to it, of one member or of all. */
  drop(serverId: number, subject?: string): void;
};

/** How a server can be reached with OAuth (RFC 9728, RFC 8414, OpenID Connect Discovery). */
export type OAuthDiscovery = {
  requiresAuth: boolean;
  resource: string | null;
  resourceMetadataUrl: string | null;
  authorizationServers: string[];
  issuer: string | null;
  authorizationEndpoint: string | null;
  tokenEndpoint: string | null;
  registrationEndpoint: string | null;
  revocationEndpoint: string | null;
  scopesSupported: string[];
  codeChallengeMethodsSupported: string[];
  tokenEndpointAuthMethodsSupported: string[];
  supportsDynamicRegistration: boolean;
  supportsClientIdMetadataDocument: boolean;
  error: string | null;
};

/** What stands at `/mcp/{slug}` already, or is kept for what will. */
export const reservedSlugs: ReadonlySet<string> = new Set([
  "messages",
  "sessions",
  "stream",
]);

/**
 * `a-z`, `0-9` and `-`, at most 32 characters, and none of {@link reservedSlugs}: the first half of a tool's name, and
 * part of URLs.
 */
export const slug = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/,
    "must be 1 to 32 of a-z, 0-9 and -, not beginning or ending with -",
  )
  .refine((text) => !reservedSlugs.has(text), "is a name of our own URLs");

/** The header that names the gateways which a request has come through; one that reads its own name there is in a circle. */
export const VIA = "mcp-gateway-via";

/** The headers that a registered server may not be sent by configuration: they are ours, or the transport's. */
export const reservedHeaders: ReadonlySet<string> = new Set([
  "accept",
  "connection",
  "content-length",
  "content-type",
  "host",
  "last-event-id",
  VIA,
  "mcp-method",
  "mcp-name",
  "mcp-protocol-version",
  "mcp-session-id",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
