import { GatewayError } from "../../core/errors.ts";
import { causeOf } from "../../core/journal.ts";
import type { Principal } from "../../core/principal.ts";
import { permits } from "../../core/principal.ts";
import { withoutValues } from "../../core/registration.ts";
import type { Clock, Log, Vault } from "../../core/runtime.ts";
import { advance } from "../../core/upstream-state.ts";
import type {
  Credential,
  Upstream,
  UpstreamConnector,
  UpstreamEdit,
  UpstreamOAuth,
  UpstreamStore,
} from "../../core/upstream.ts";
import type { UpstreamIcons } from "./upstream-icons.ts";

/** By its id, or by its slug or name. */
export type UpstreamRef = number | string;

/** False for a version that the caller does not know; null when the caller does not say which one it knows. */
export type Precondition = ((version: number) => boolean) | null;

/** A server, and what of it depends on who looks. */
export type UpstreamView = {
  upstream: Upstream;
  /** Without the values of its query for those who may not change it. */
  url: string;
  /** It can be used by this member. */
  connected: boolean;
  members: number;
  iconToken: string;
};

export const sortFields = [
  "name",
  "createdAt",
  "updatedAt",
  "state",
  "enabled",
] as const;
export type SortField = (typeof sortFields)[number];

/**
 * Registered servers, for those who manage them. Nothing is found of another workspace; who may do what is decided
 * by the door. All throw `not_found`, and `conflict` with `data.code` "version_mismatch" for a precondition that
 * does not hold.
 */
export type Upstreams = {
  list(
    principal: Principal,
    by?: SortField,
    order?: "asc" | "desc",
  ): UpstreamView[];
  get(principal: Principal, ref: UpstreamRef): UpstreamView;
  /** As it is shown to this member. */
  view(principal: Principal, upstream: Upstream): UpstreamView;
  /** Turns it off, revokes what members have granted, and removes it with all that belongs to it. */
  remove(
    principal: Principal,
    ref: UpstreamRef,
    precondition: Precondition,
  ): Promise<Upstream>;
  /** Connects the member to a server of `direct_auth`; with a token of their own, or (null) as they are. */
  link(
    principal: Principal,
    ref: UpstreamRef,
    token: string | null,
  ): Promise<Credential>;
  members(principal: Principal, ref: UpstreamRef): Credential[];
  /** As the store's, for a server that has to be there. */
  edit(
    principal: Principal,
    upstream: Upstream,
    rule: (current: Upstream) => UpstreamEdit | null,
  ): Promise<Upstream>;
  /** One line in the log for each thing that somebody has done. */
  record(principal: Principal, action: string, upstream: Upstream): void;
};

export type UpstreamsOptions = {
  store: UpstreamStore;
  connector: Pick<UpstreamConnector, "drop">;
  oauth: Pick<UpstreamOAuth, "disconnect">;
  vault: Pick<Vault, "seal">;
  icons: Pick<UpstreamIcons, "token">;
  clock: Clock;
  log: Log;
};

const stateOrder = { register: 0, authorize: 1, ready: 2 };

export function createUpstreams(options: UpstreamsOptions): Upstreams {
  const { store, connector, oauth, vault, icons, clock, log } = options;

  function find({ workspace }: Principal, ref: UpstreamRef): Upstream {
    const found =
      typeof ref === "number"
        ? store.find(workspace, ref)
        : store.findByName(workspace, ref);
    if (!found) throw unknownServer();
    return found;
  }

  function viewsOf(
    principal: Principal,
    upstreams: readonly Upstream[],
  ): UpstreamView[] {
    const { workspace, subject } = principal;
    const connections = store.connections(workspace, subject);
    return upstreams.map((upstream) => {
      const about = connections.get(upstream.id);
      return {
        upstream,
        url: permits(principal.scope, "apps:write")
          ? upstream.url
          : withoutValues(upstream.url),
        connected:
          upstream.state === "ready" &&
          (!hasOwnAccounts(upstream) || about?.own === "active"),
        members: about?.members ?? 0,
        iconToken: icons.token(upstream, about?.iconEtag ?? null),
      };
    });
  }
  const view = (principal: Principal, upstream: Upstream) =>
    viewsOf(principal, [upstream])[0]!;

  function record(
    principal: Principal,
    action: string,
    { id, slug, version }: Upstream,
  ): void {
    log.info("server managed", {
      action,
      workspace: principal.workspace,
      user: principal.subject,
      by: principal.method,
      server: slug,
      serverId: id,
      version,
    });
  }

  async function edit(
    principal: Principal,
    upstream: Upstream,
    rule: (current: Upstream) => UpstreamEdit | null,
  ): Promise<Upstream> {
    const edited = await store.edit(
      upstream.id,
      rule,
      clock.now(),
      causeOf(principal),
    );
    if (!edited) throw unknownServer();
    return edited;
  }

  return {
    list(principal, by = "createdAt", order = "asc") {
      const views = viewsOf(principal, store.list(principal.workspace));
      const sign = order === "asc" ? 1 : -1;
      return views.sort((a, b) => {
        const [one, other] = [a.upstream, b.upstream];
        return sign * (compare(by, one, other) || one.id - other.id);
      });
    },
    get: (principal, ref) => view(principal, find(principal, ref)),
    view,
    edit,
    record,

    async remove(principal, ref, precondition) {
      const before = find(principal, ref);
      requireVersion(before, precondition);
      const off = await edit(principal, before, (current) => {
        requireSame(current, before);
        return advance(current, {
          type: "switched_off",
          clearRegistration: false,
        });
      });
      connector.drop(off.id);
      if (off.authType === "oauth") {
        await oauth.disconnect(off, causeOf(principal));
      }
      await store.remove(off.id, causeOf(principal));
      record(principal, "removed", off);
      return off;
    },

    async link(principal, ref, token) {
      const upstream = find(principal, ref);
      if (upstream.authType !== "direct_auth") {
        throw new GatewayError(
          "conflict",
          upstream.authType === "oauth"
            ? `${upstream.name} is connected to in a browser, by oauth/authorize.`
            : `Nobody has to connect an account to ${upstream.name}.`,
          { data: { code: "not_direct_auth", authType: upstream.authType } },
        );
      }
      const { subject, name } = principal;
      const sealed =
        token === null
          ? null
          : vault.seal(JSON.stringify({ token }), [
              "credentials",
              upstream.uuid,
              subject,
            ]);
      const now = clock.now();
      const linked = await store.editCredential(
        upstream.id,
        subject,
        (current) =>
          current?.status === "active" && token === null
            ? null
            : {
                name,
                authType: "direct_auth",
                status: "active",
                sealed,
                refreshingAt: null,
                connectedAt: now,
                expiresAt: null,
                lastUsedAt: null,
              },
        causeOf(principal),
      );
      if (!linked) throw unknownServer();
      connector.drop(upstream.id, subject);
      record(principal, "linked", upstream);
      await edit(principal, upstream, (current) =>
        advance(current, {
          type: "credentials_changed",
          clientRegistered: false,
        }),
      );
      return linked;
    },

    members: (principal, ref) => store.credentials(find(principal, ref).id),
  };
}

/** True when each of its members has an account of their own there. */
export function hasOwnAccounts({ authType }: Upstream): boolean {
  return authType === "oauth" || authType === "direct_auth";
}

export function unknownServer(): GatewayError {
  return new GatewayError("not_found", "There is no such server.");
}

/** Throws `conflict` when the server is not one that the caller knows. */
export function requireVersion(
  { version }: Upstream,
  precondition: Precondition,
): void {
  if (precondition !== null && !precondition(version)) throw mismatch();
}

/** Throws `conflict` when it was changed since. */
export function requireSame(current: Upstream, known: Upstream): void {
  if (current.version !== known.version) throw mismatch();
}

function mismatch(): GatewayError {
  return new GatewayError(
    "conflict",
    "The server was changed meanwhile. Read it again, and send its new ETag in If-Match.",
    { data: { code: "version_mismatch" } },
  );
}

function compare(by: SortField, a: Upstream, b: Upstream): number {
  switch (by) {
    case "name": {
      const [one, other] = [a.name.toLowerCase(), b.name.toLowerCase()];
      return one < other ? -1 : Number(one > other);
    }
    case "createdAt":
      return a.createdAt - b.createdAt;
    case "updatedAt":
      return a.updatedAt - b.updatedAt;
    case "state":
      return stateOrder[a.state] - stateOrder[b.state];
    case "enabled":
      return Number(a.enabled) - Number(b.enabled);
  }
}
