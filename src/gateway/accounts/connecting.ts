import { uniteScopes } from "../../core/challenge.ts";
import { GatewayError } from "../../core/errors.ts";
import type {
  AuthorizationServer,
  OAuthClient,
  Tokens,
} from "../../core/oauth.ts";
import type { Clock, Ids, Log } from "../../core/runtime.ts";
import { advance } from "../../core/upstream-state.ts";
import type {
  OAuthFlow,
  Upstream,
  UpstreamStore,
} from "../../core/upstream.ts";
import type { Grant, Member, SealedFlow, Seals } from "./grant.ts";
import { newGrant, withoutKey } from "./grant.ts";
import { createRate } from "../limits/rate.ts";
import type { Registering } from "./registering.ts";
import { changedError, goneError, readGrant } from "./registering.ts";
import { refusalOf } from "./renewals.ts";

/** The browser's way to an authorization server and back. */
export type Connecting = {
  /** A link for the member's browser, good for ten minutes. */
  authorizeUrl(upstream: Upstream, member: Member): string;
  /** Whom a link was made for; throws `invalid` when it is none, or too old. */
  readTicket(
    ticket: string,
    workspace: string,
    id: number,
  ): { upstream: Upstream; member: Member };
  /**
   * Begins an authorization. Throws `conflict` unless the server waits for one, or is ready and the member is not
   * connected, and `rate_limited` for more than 20 a minute. `browser` is for a cookie named after `flow`: who does
   * not bring it back is not let in.
   */
  begin(
    upstream: Upstream,
    member: Member,
  ): Promise<{ location: string; flow: string; browser: string }>;
  /**
   * The browser has come back: stores what was granted, and the server is ready. A state is good once. Throws
   * `invalid` for a state, browser or workspace that do not belong together, `conflict`, or `upstream_failed`.
   */
  finish(back: Return): Promise<{ upstream: Upstream; member: Member }>;
};

/** A browser that comes back. */
export type Return = {
  params: URLSearchParams;
  /** Of the URL that it came back to; null when that says none. */
  workspace: string | null;
  browserOf(flow: string): string | null;
};

/** How long a link is good, and the way to the authorization server and back may take. */
export const CONNECT_MS = 600_000;
/** Authorizations that one member may begin in a minute, at whatever servers. */
const BEGINS = 20;

const base64url = { alphabet: "base64url", omitPadding: true } as const;

export function createConnecting(options: {
  upstreams: UpstreamStore;
  oauth: OAuthClient;
  registering: Registering;
  seals: Seals;
  clock: Clock;
  ids: Ids;
  log: Log;
  baseUrl: () => string;
}): Connecting {
  const { upstreams, oauth, registering, seals, clock, ids, log } = options;
  // Each asks the server and its authorization server, and a link needs no credential.
  const begins = createRate(
    clock,
    BEGINS,
    60_000,
    "authorizations",
    `An authorization can be begun ${BEGINS} times a minute. Wait a moment.`,
  );

  function grantOf(upstream: Upstream, subject: string): Grant | null {
    const credential = upstreams.credential(upstream.id, subject);
    return readGrant(seals, upstream, subject, credential?.sealed);
  }

  function mayBegin(upstream: Upstream, subject: string): void {
    const { name, state, enabled, authType, id } = upstream;
    const no = (code: string, message: string) =>
      new GatewayError("conflict", message, { data: { code } });
    if (authType !== "oauth") {
      throw no("not_oauth", `${name} is not connected to with OAuth.`);
    }
    if (state === "authorize") return;
    if (state !== "ready") {
      throw no(
        "not_prepared",
        `${name} does not wait to be authorized. Enable it first.`,
      );
    }
    if (!enabled) throw no("server_disabled", `${name} is disabled.`);
    const credential = upstreams.credential(id, subject);
    const connected =
      credential?.status === "active" &&
      grantOf(upstream, subject)?.wanted === null &&
      (credential.expiresAt ?? Infinity) > clock.now();
    if (connected) {
      throw no("already_connected", `You are connected to ${name} already.`);
    }
  }

  /** Takes the flow that the browser has begun. */
  async function take(back: Return): Promise<[OAuthFlow, SealedFlow]> {
    const stateHash = hash(single(back.params, "state") ?? "");
    const flow = await upstreams.takeFlow(stateHash);
    const browser = back.browserOf(flowName(stateHash));
    const ours =
      flow !== null &&
      flow.expiresAt > clock.now() &&
      browser !== null &&
      flow.browserHash === hash(browser) &&
      (back.workspace ?? flow.workspace) === flow.workspace;
    if (ours) return [flow, seals.flow(flow.sealed, stateHash)];
    throw new GatewayError(
      "invalid",
      "This authorization was not begun in this browser, is over, or took too long. Begin again.",
      { data: { reason: "unknown_state" } },
    );
  }

  /** Asked for more than there is: the next time is without what came together over time. */
  async function forgetScopes(
    upstream: Upstream,
    subject: string,
  ): Promise<void> {
    const grant = grantOf(upstream, subject);
    if (grant === null) return;
    const less = { ...grant, scopes: [], wanted: grant.wanted && [] };
    const sealed = seals.sealGrant(upstream, less, subject);
    await upstreams.editCredential(upstream.id, subject, (current) =>
      current === null || current.refreshingAt !== null
        ? null
        : { ...withoutKey(current), sealed },
    );
  }

  async function store(
    upstream: Upstream,
    { subject }: OAuthFlow,
    begun: SealedFlow,
    grant: Grant,
    lifetimeMs: number | null,
  ): Promise<Upstream> {
    const { name } = begun;
    const now = grant.obtainedAt;
    requireAsBegun(upstreams.find(upstream.workspace, upstream.id), begun);
    const sealed = seals.sealGrant(upstream, grant, subject);
    await upstreams.editCredential(upstream.id, subject, (current) => ({
      name,
      authType: "oauth",
      status: "active",
      sealed,
      refreshingAt: null,
      connectedAt: now,
      expiresAt: lifetimeMs === null ? null : now + lifetimeMs,
      lastUsedAt: current?.lastUsedAt ?? null,
    }));
    try {
      const ready = await upstreams.edit(
        upstream.id,
        (current) => {
          requireAsBegun(current, begun);
          return advance(current, { type: "authorized", at: now });
        },
        now,
      );
      if (ready === null) throw goneError();
      return ready;
    } catch (error) {
      await upstreams.removeCredential(upstream.id, subject);
      throw error;
    }
  }

  /** What was granted is for nobody: the server was changed while its authorization server answered. */
  async function giveBack(
    { found: { server, resource }, client }: SealedFlow,
    { accessToken, refreshToken }: Tokens,
  ): Promise<void> {
    const token =
      refreshToken === null
        ? ({ token: accessToken, hint: "access_token" } as const)
        : ({ token: refreshToken, hint: "refresh_token" } as const);
    await oauth.revoke({ server, resource, client }, token).catch(() => {});
  }

  return {
    authorizeUrl({ uuid, workspace, id }, { subject, name }) {
      const expiresAt = clock.now() + CONNECT_MS;
      const ticket = { server: uuid, workspace, subject, name, expiresAt };
      const query = new URLSearchParams({ ticket: seals.sealTicket(ticket) });
      return `${options.baseUrl()}/api/v2/w/${encodeURIComponent(workspace)}/mcp-servers/${id}/oauth/authorize?${query}`;
    },

    readTicket(text, workspace, id) {
      const ticket = seals.ticket(text);
      const upstream = upstreams.find(workspace, id);
      if (
        ticket !== null &&
        upstream !== null &&
        ticket.expiresAt > clock.now() &&
        ticket.workspace === workspace &&
        ticket.server === upstream.uuid
      ) {
        const { subject, name } = ticket;
        return { upstream, member: { workspace, subject, name } };
      }
      throw new GatewayError(
        "invalid",
        "This link is not valid, or not any more. Use the server again to get a new one.",
        { data: { reason: "unknown_ticket" } },
      );
    },

    async begin(upstream, { subject, name }) {
      mayBegin(upstream, subject);
      begins.take(JSON.stringify([upstream.workspace, subject]));
      const prepared = await registering.prepare(upstream);
      const { server, client, scopes: usual } = prepared;
      const before = grantOf(upstream, subject);
      const same = before?.issuer === server.issuer ? before : null;
      const scopes = same
        ? uniteScopes(
            same.wanted ?? usual,
            same.scopes,
            usual.filter((scope) => scope === "offline_access"),
          )
        : usual;
      const state = ids.random(32).toBase64(base64url);
      const stateHash = hash(state);
      const browser = ids.random(32).toBase64(base64url);
      const redirectUrl = registering.redirectUrl();
      const begun = await oauth.begin(prepared, { redirectUrl, scopes, state });
      const flow: SealedFlow = {
        verifier: begun.verifier,
        redirectUrl,
        client,
        found: { server, resource: prepared.resource, scopes: usual },
        url: prepared.upstream.url,
        scopes,
        name,
        rounds: same?.wanted ? same.rounds + 1 : 1,
      };
      const now = clock.now();
      await upstreams.openFlow(
        {
          stateHash,
          serverId: upstream.id,
          workspace: upstream.workspace,
          subject,
          browserHash: hash(browser),
          sealed: seals.sealFlow(flow, stateHash),
          expiresAt: now + CONNECT_MS,
        },
        now,
      );
      return { location: begun.url, flow: flowName(stateHash), browser };
    },

    async finish(back) {
      const [flow, begun] = await take(back);
      const { workspace, subject } = flow;
      const { client, verifier, redirectUrl, scopes, rounds } = begun;
      const { server, resource } = begun.found;
      const upstream = upstreams.find(workspace, flow.serverId);
      if (upstream === null) throw goneError();
      const { params } = back;
      if (!isFrom(params.getAll("iss"), server)) {
        throw new GatewayError(
          "upstream_failed",
          "The answer is not from the authorization server that was asked. Nothing was connected.",
          { data: { reason: "issuer_mismatch" } },
        );
      }
      const error = single(params, "error");
      const code = single(params, "code");
      if (error === "invalid_scope") await forgetScopes(upstream, subject);
      if (error !== null || code === null) throw refused(upstream, error);
      const { clientId } = client;
      requireAsBegun(upstream, begun);
      const tokens = await oauth
        .exchange({ server, client, resource }, { code, verifier, redirectUrl })
        .catch(async (thrown: unknown) => {
          if (refusalOf(thrown) === "invalid_client") {
            await registering.forgetClient(upstream, clientId);
          }
          throw thrown;
        });
      const from = { issuer: server.issuer, clientId, asked: scopes, rounds };
      const grant = newGrant(tokens, from, clock.now());
      const ready = await store(
        upstream,
        flow,
        begun,
        grant,
        tokens.lifetimeMs,
      ).catch(async (thrown: unknown) => {
        await giveBack(begun, tokens);
        throw thrown;
      });
      log.info("authorized", {
        workspace,
        server: upstream.slug,
        user: subject,
      });
      return {
        upstream: ready,
        member: { workspace, subject, name: begun.name },
      };
    },
  };
}

/** Throws unless the server is still the one that the member has authorized for. */
function requireAsBegun(
  now: Upstream | null,
  { url, client, found }: SealedFlow,
): void {
  if (now === null) throw goneError();
  if (
    now.url !== url ||
    now.oauth?.clientId !== client.clientId ||
    now.oauth.issuer !== found.server.issuer
  ) {
    throw changedError(now);
  }
}

/** RFC 9207 §2.4: what an answer says of who it is from, compared as it stands. */
function isFrom(
  said: string[],
  { described, issuer, namesItself }: AuthorizationServer,
): boolean {
  if (!described) return true;
  if (said.length === 0) return !namesItself;
  return said.length === 1 && said[0] === issuer;
}

/** RFC 6749 §4.1.2.1 and OpenID Connect Core §3.1.2.6. What else an answer says is not shown. */
const knownErrors: Record<string, string> = {
  access_denied: "you, or the authorization server, said no",
  invalid_scope: "it does not know what was asked for",
  invalid_request: "it does not take requests such as ours",
  unauthorized_client: "it does not let this client ask",
  unsupported_response_type: "it does not give codes",
  server_error: "it failed",
  temporarily_unavailable: "it is not available at present",
  login_required: "you have to log in there first",
  consent_required: "it needs your consent",
  interaction_required: "it needs to ask you something",
};

function refused({ name }: Upstream, error: string | null): GatewayError {
  const known = error !== null && Object.hasOwn(knownErrors, error);
  const why = known ? knownErrors[error]! : "it gave no code";
  return new GatewayError(
    "upstream_failed",
    `The authorization server of ${name} did not let you in: ${why}.`,
    { data: { reason: "authorization_refused" } },
  );
}

/** One that is there twice is not there. */
function single(params: URLSearchParams, name: string): string | null {
  const values = params.getAll(name);
  return values.length === 1 ? values[0]! : null;
}

function hash(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("base64url");
}

/** Names a flow where its state must not be seen. */
function flowName(stateHash: string): string {
  return stateHash.slice(0, 16);
}
