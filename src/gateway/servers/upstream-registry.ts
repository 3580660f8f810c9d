import { definitionHash } from "../../core/definition.ts";
import { GatewayError } from "../../core/errors.ts";
import { causeOf } from "../../core/journal.ts";
import type { Principal } from "../../core/principal.ts";
import type {
  Authentication,
  Registration,
  RegistrationChange,
} from "../../core/registration.ts";
import {
  readAuthentication,
  sharedAuthTypes,
  slugOf,
} from "../../core/registration.ts";
import type { Clock, Ids, OutboundCheck, Vault } from "../../core/runtime.ts";
import type { UpstreamEvent } from "../../core/upstream-state.ts";
import { advance, registered } from "../../core/upstream-state.ts";
import type {
  SharedSecret,
  Upstream,
  UpstreamConnector,
  UpstreamEdit,
  UpstreamOAuth,
  UpstreamStore,
} from "../../core/upstream.ts";
import type { Reaches } from "../limits/reaches.ts";
import type { UpstreamIcons } from "./upstream-icons.ts";
import type {
  Precondition,
  UpstreamRef,
  UpstreamView,
  Upstreams,
} from "./upstreams.ts";
import { requireSame, requireVersion } from "./upstreams.ts";

/**
 * Registers servers and changes what was said of them. Both throw `rate_limited` for a member who has us reach out too
 * often.
 */
export type UpstreamRegistry = {
  /**
   * Registers it, off. Throws `invalid` for what may not be registered, `conflict` when there are too many, or, with
   * `unique`, when the name is taken.
   */
  create(
    principal: Principal,
    registration: Registration,
    options?: { unique?: boolean },
  ): Promise<UpstreamView>;
  /**
   * Changes what is said. A secret is never sent to another origin than the one it was given for: with such a URL it
   * has to be given again. Another URL or way to be let in turns it off, to be connected anew.
   */
  change(
    principal: Principal,
    ref: UpstreamRef,
    change: RegistrationChange,
    precondition: Precondition,
  ): Promise<UpstreamView>;
};

const MAX_SERVERS = 200;
/** Two who take the same name at the same moment. */
const MAX_TRIES = 5;

export function createUpstreamRegistry(options: {
  upstreams: Pick<Upstreams, "get" | "view" | "edit" | "record">;
  store: UpstreamStore;
  connector: Pick<UpstreamConnector, "drop">;
  oauth: Pick<UpstreamOAuth, "configure" | "disconnect">;
  vault: Pick<Vault, "seal">;
  check: OutboundCheck;
  icons: Pick<UpstreamIcons, "refresh">;
  reaches: Reaches;
  clock: Clock;
  ids: Ids;
}): UpstreamRegistry {
  const { upstreams, store, connector, oauth, vault, icons, clock } = options;
  const { reaches } = options;
  const { view, edit, record } = upstreams;
  const find = (principal: Principal, ref: UpstreamRef) =>
    upstreams.get(principal, ref).upstream;

  const seal = (uuid: string, secret: SharedSecret) =>
    vault.seal(JSON.stringify(secret), ["servers", uuid, "secret"]);

  async function configure(
    principal: Principal,
    upstream: Upstream,
    { client }: Authentication,
  ): Promise<Upstream> {
    if (client === null) return upstream;
    await oauth.configure(upstream, client, causeOf(principal));
    const clientRegistered = client.clientId !== undefined;
    return edit(principal, upstream, (current) =>
      advance(current, { type: "credentials_changed", clientRegistered }),
    );
  }

  async function insert(
    principal: Principal,
    registration: Registration,
    authentication: Authentication,
    unique: boolean,
  ): Promise<Upstream> {
    const { workspace } = principal;
    const uuid = uuidOf(options.ids.session());
    const { authType, secret } = authentication;
    const { name, description, pinned } = registration;
    const base = {
      ...registered,
      uuid,
      workspace,
      name,
      description,
      pinned,
      authType,
      sealedSecret: secret && seal(uuid, secret),
      oauth: null,
      sealedOauth: null,
      about: null,
      lastCheckedAt: null,
      lastLatencyMs: null,
      lastError: null,
      createdAt: clock.now(),
      createdBy: principal.method === "operator" ? null : principal.subject,
    };
    const where =
      registration.transport === "stdio"
        ? { ...stdioOf(registration), appUuid: null }
        : {
            url: registration.url,
            transport: registration.transport,
            command: null,
            appUuid: registration.appUuid,
          };
    for (let tries = 1; ; tries++) {
      const taken = store.list(workspace).map(({ slug }) => slug);
      const own = registration.slug;
      const slug = own ?? slugOf(name, new Set(taken));
      try {
        return await store.create(
          { ...base, ...where, slug },
          MAX_SERVERS,
          // There and not before: somebody else may be faster.
          unique ? (others) => requireNewName(others, name) : undefined,
          causeOf(principal),
        );
      } catch (error) {
        const again = own === undefined && isSlugTaken(error);
        if (!again || tries === MAX_TRIES) throw error;
      }
    }
  }

  return {
    async create(principal, registration, { unique = false } = {}) {
      const { name } = registration;
      const isStdio = registration.transport === "stdio";
      if (isStdio && principal.method !== "operator") {
        throw new GatewayError(
          "invalid",
          "stdio servers are registered on the machine that runs them: membrane-mcp servers add",
        );
      }
      // Nobody is asked for what cannot be.
      if (unique) requireNewName(store.list(principal.workspace), name);
      reaches.take(principal);
      if (!isStdio) await options.check(registration.url);
      const authentication = isStdio
        ? envOf(registration.env)
        : readAuthentication(registration.authentication);
      const created = await insert(
        principal,
        registration,
        authentication,
        unique,
      );
      record(principal, "created", created);
      icons.refresh(created);
      return view(
        principal,
        await configure(principal, created, authentication),
      );
    },

    async change(principal, ref, change, precondition) {
      const before = find(principal, ref);
      requireVersion(before, precondition);
      const { url = before.url, transport = before.transport } = change;
      const authentication =
        change.authentication && readAuthentication(change.authentication);
      if (before.transport === "stdio") refuseRewiring(change);
      const { authType = before.authType, secret = null } =
        authentication ?? {};
      const moved = url !== before.url;
      const retyped = authType !== before.authType;
      if (moved || retyped) reaches.take(principal);
      if (moved) await options.check(url);
      if (sharedAuthTypes.has(authType) && secret === null) {
        requireSecret(before, { url, authType });
      }
      const sealedSecret =
        secret !== null
          ? seal(before.uuid, secret)
          : retyped
            ? null
            : before.sealedSecret;
      const event: UpstreamEvent | null =
        moved || retyped
          ? { type: "retargeted", keepRegistration: false }
          : transport !== before.transport
            ? { type: "retargeted", keepRegistration: true }
            : secret !== null
              ? { type: "credentials_changed", clientRegistered: false }
              : null;

      let base = before;
      if ((moved || retyped) && before.authType === "oauth") {
        // Off first: what was granted to one must not be sent to the other.
        base = await edit(principal, before, (current) => {
          requireSame(current, before);
          return advance(current, {
            type: "retargeted",
            keepRegistration: true,
          });
        });
        await oauth.disconnect(base, causeOf(principal));
        const off = base;
        base = find(principal, before.id);
        // It may take seconds, in which somebody else has said something, too.
        if (!Bun.deepEquals(said(base), said(off))) requireSame(base, before);
      }
      const changed = await edit(principal, base, (current) => {
        requireSame(current, base);
        const { authentication: _, ...plain } = change;
        const arrow = event && advance(current, event);
        return differing(current, {
          ...plain,
          authType,
          sealedSecret,
          ...arrow,
        });
      });
      if (changed.version !== base.version) {
        record(principal, "changed", changed);
        connector.drop(changed.id);
      }
      if (changed.pinned && !before.pinned) await approveWhatIsShown(changed);
      if (moved) icons.refresh(changed);
      return view(
        principal,
        authentication
          ? await configure(principal, changed, authentication)
          : changed,
      );
    },
  };

  /** What is pinned is what members are shown at that moment, whatever there was before. */
  async function approveWhatIsShown({ id }: Upstream): Promise<void> {
    const shown = store.listings(id);
    if (shown.length === 0) return;
    const hashes = shown.flatMap(({ tools }) => tools.map(definitionHash));
    await store.approveOnly(id, new Set(hashes));
  }
}

function requireNewName(others: readonly Upstream[], name: string): void {
  const known = others.find((one) => one.slug === name || one.name === name);
  if (!known) return;
  throw new GatewayError(
    "conflict",
    `There is a server ${known.name} already. Change it with PATCH, or choose another name.`,
    { data: { code: "name_taken", serverId: known.id } },
  );
}

/** What people say of a server, and not what becomes of it. */
function said(upstream: Upstream) {
  const { name, description, appUuid, pinned, ...rest } = upstream;
  const { url, transport, authType, sealedSecret } = rest;
  const where = { url, transport, authType, sealedSecret };
  return { name, description, appUuid, pinned, ...where };
}

/** A secret that is stored stays only for the origin and the way to be let in that it was given for. */
function requireSecret(
  before: Upstream,
  { url, authType }: { url: string; authType: Upstream["authType"] },
): void {
  const sameOrigin = new URL(url).origin === new URL(before.url).origin;
  if (sameOrigin && authType === before.authType) return;
  throw new GatewayError(
    "invalid",
    "authentication: has to be given in full. The stored secret is sent to the server that it was given for, and to no other.",
  );
}

function refuseRewiring(change: RegistrationChange): void {
  const { url, transport, authentication } = change;
  if (url === undefined && transport === undefined && !authentication) return;
  throw new GatewayError(
    "invalid",
    "Of a stdio server only name, description and pinned can be changed. Remove it, and add it anew on its machine.",
  );
}

/** The part of an edit that is one; null when nothing is. */
function differing(
  current: Upstream,
  edit: { [K in keyof UpstreamEdit]: UpstreamEdit[K] | undefined },
): UpstreamEdit | null {
  const entries = Object.entries(edit).filter(
    ([key, value]) =>
      value !== undefined && current[key as keyof UpstreamEdit] !== value,
  );
  return entries.length === 0 ? null : Object.fromEntries(entries);
}

function isSlugTaken(error: unknown): boolean {
  return error instanceof GatewayError && error.data?.["code"] === "slug_taken";
}

function stdioOf({
  command,
  args,
  cwd,
}: Extract<Registration, { transport: "stdio" }>) {
  return {
    // Without the arguments, which may hold what not everybody should see.
    url: `stdio:${command}`,
    transport: "stdio" as const,
    command: { command, args, cwd },
  };
}

function envOf(env: Record<string, string>): Authentication {
  const secret = Object.keys(env).length === 0 ? null : { env };
  return { authType: "none", secret, client: null };
}

/** 128 random bits, in hexadecimal, as a UUID of version 4. */
function uuidOf(hex: string): string {
  const variant = ((parseInt(hex[16]!, 16) & 3) | 8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    variant + hex.slice(17, 20),
    hex.slice(20, 32),
  ].join("-");
}
