import { causeOf } from "../../core/journal.ts";
import { asGatewayError } from "../../core/errors.ts";
import type { Principal } from "../../core/principal.ts";
import { permits } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";
import type { UpstreamEvent } from "../../core/upstream-state.ts";
import {
  advance,
  changedMeanwhile,
  failureSentences,
  sameSetup,
} from "../../core/upstream-state.ts";
import type {
  FailureClass,
  OAuthDiscovery,
  Probe,
  Upstream,
  UpstreamConnector,
  UpstreamFailure,
  UpstreamOAuth,
} from "../../core/upstream.ts";
import { createRate } from "../limits/rate.ts";
import type { Reaches } from "../limits/reaches.ts";
import type { UpstreamIcons } from "./upstream-icons.ts";
import type {
  Precondition,
  UpstreamRef,
  UpstreamView,
  Upstreams,
} from "./upstreams.ts";
import { requireVersion } from "./upstreams.ts";

/** How a test went, and the server as it is after it. */
export type UpstreamTest = {
  success: boolean;
  latencyMs: number;
  probe: Probe | null;
  failureClass: FailureClass | null;
  /** A sentence; null when it went well. */
  error: string | null;
  view: UpstreamView;
};

/** Turning servers on and off, and what has to be found out for that. */
export type UpstreamSwitch = {
  /**
   * Turns it on; connects it first when that has never worked. What comes of that is the state of the server that is
   * returned. Throws `conflict` (`data.code` "authorization_required") when a member has to go through OAuth first,
   * and `rate_limited` for a member who has us reach out too often; not with `counted`, when that was just looked at.
   */
  enable(
    principal: Principal,
    ref: UpstreamRef,
    precondition: Precondition,
    signal: AbortSignal,
    options?: { counted?: boolean },
  ): Promise<UpstreamView>;
  disable(
    principal: Principal,
    ref: UpstreamRef,
    options: { clearRegistration: boolean },
    precondition: Precondition,
  ): Promise<UpstreamView>;
  /**
   * A look at it, which counts for the server only when the caller may change it. Ten of these and of `discover` a
   * minute for each member; then it throws `rate_limited`.
   */
  test(
    principal: Principal,
    ref: UpstreamRef,
    signal: AbortSignal,
  ): Promise<UpstreamTest>;
  discover(principal: Principal, url: string): Promise<OAuthDiscovery>;
};

const LOOKS = 10;
const LOOKS_MS = 60_000;

export function createUpstreamSwitch(options: {
  upstreams: Pick<Upstreams, "get" | "view" | "edit" | "record">;
  connector: Pick<UpstreamConnector, "probe" | "drop">;
  oauth: UpstreamOAuth;
  icons: Pick<UpstreamIcons, "refresh">;
  reaches: Reaches;
  clock: Clock;
}): UpstreamSwitch {
  const { upstreams, connector, oauth, reaches, clock } = options;
  const { edit } = upstreams;
  const looks = createRate(
    clock,
    LOOKS,
    LOOKS_MS,
    "server_tests",
    `Servers can be looked at ${LOOKS} times a minute. Wait a moment.`,
  );

  /** What connecting comes to, in the terms of the state machine. Throws what is not about the server. */
  async function connect(
    upstream: Upstream,
    principal: Principal,
    signal: AbortSignal,
  ): Promise<UpstreamEvent> {
    try {
      const probe = await connector.probe(upstream, principal, signal);
      return { type: "connected", probe, at: clock.now() };
    } catch (thrown) {
      const failure = failureOf(thrown, clock.now());
      const refused = asGatewayError(thrown).code === "forbidden";
      if (failure.class !== "auth" || refused) {
        return { type: "unreachable", failure: failure.stored };
      }
      return {
        type: "unauthorized",
        registration: await register(upstream),
        failure: failure.stored,
      };
    }
  }

  async function register(
    upstream: Upstream,
  ): Promise<"done" | "failed" | "impossible"> {
    if (upstream.authType !== "none" && upstream.authType !== "oauth") {
      return "impossible";
    }
    if (upstream.transport === "stdio") return "impossible";
    try {
      return (await oauth.prepare(upstream)) ? "done" : "impossible";
    } catch (thrown) {
      rethrowOurs(thrown);
      return "failed";
    }
  }

  return {
    async enable(
      principal,
      ref,
      precondition,
      signal,
      { counted = false } = {},
    ) {
      const { upstream: before } = upstreams.get(principal, ref);
      requireVersion(before, precondition);
      if (before.state === "register" && !counted) reaches.take(principal);
      const event: UpstreamEvent =
        before.state === "register"
          ? await connect(before, principal, signal)
          : {
              type: "switched_on",
              authorizeUrl: oauth.authorizeUrl(before, principal),
            };
      const after = await edit(principal, before, (current) => {
        // Somebody else was as fast.
        if (current.state === "ready" && current.enabled) return null;
        if (!sameSetup(before, current)) throw changedMeanwhile();
        return advance(current, event);
      });
      if (after.version !== before.version) {
        const action = after.enabled ? "enabled" : "tried to enable";
        upstreams.record(principal, action, after);
      }
      if (event.type === "connected") options.icons.refresh(after);
      return upstreams.view(principal, after);
    },

    async disable(principal, ref, { clearRegistration }, precondition) {
      const { upstream: before } = upstreams.get(principal, ref);
      // What was granted is revoked there.
      if (clearRegistration && before.authType === "oauth") {
        reaches.take(principal);
      }
      const off = await edit(principal, before, (current) => {
        requireVersion(current, precondition);
        return advance(current, {
          type: "switched_off",
          clearRegistration: false,
        });
      });
      connector.drop(off.id);
      if (off.version !== before.version || clearRegistration) {
        upstreams.record(
          principal,
          clearRegistration ? "cleared" : "disabled",
          off,
        );
      }
      if (!clearRegistration) return upstreams.view(principal, off);
      // Revoked while it is known what.
      if (off.authType === "oauth") {
        await oauth.disconnect(off, causeOf(principal));
      }
      const cleared = await edit(principal, off, (current) =>
        advance(current, { type: "switched_off", clearRegistration: true }),
      );
      return upstreams.view(principal, cleared);
    },

    async test(principal, ref, signal) {
      const { upstream: before } = upstreams.get(principal, ref);
      looks.take(memberKey(principal));
      const startedAt = clock.monotonic();
      let probe: Probe | null = null;
      let failure: Failure | null = null;
      try {
        probe = await connector.probe(before, principal, signal);
      } catch (thrown) {
        failure = failureOf(thrown, clock.now());
      }
      const latencyMs =
        probe?.latencyMs ?? Math.round(clock.monotonic() - startedAt);
      let after = before;
      if (permits(principal.scope, "apps:write")) {
        const outcome = probe ?? failure!.stored;
        after = await edit(principal, before, (current) =>
          sameSetup(before, current)
            ? advance(current, { type: "tested", outcome, at: clock.now() })
            : null,
        );
        if (after.enabled && !before.enabled) {
          upstreams.record(principal, "enabled", after);
        }
      }
      return {
        success: probe !== null,
        latencyMs,
        probe,
        failureClass: failure?.class ?? null,
        error: failure?.stored.message ?? null,
        view: upstreams.view(principal, after),
      };
    },

    async discover(principal, url) {
      looks.take(memberKey(principal));
      return oauth.discover(url);
    },
  };
}

const memberKey = ({ workspace, subject }: Principal) =>
  JSON.stringify([workspace, subject]);

type Failure = { class: FailureClass; stored: UpstreamFailure };

/** Of a server, in our words. Rethrows what is not about the server. */
export function failureOf(thrown: unknown, at: number): Failure {
  rethrowOurs(thrown);
  const error = asGatewayError(thrown);
  const given = error.data?.["failureClass"];
  const found: FailureClass =
    error.code === "needs_authorization" || error.code === "forbidden"
      ? "auth"
      : typeof given === "string" && given in failureSentences
        ? (given as FailureClass)
        : "transport";
  return {
    class: found,
    stored: { code: failureCodes[found], message: failureSentences[found], at },
  };
}

const failureCodes: Record<FailureClass, string> = {
  transport: "upstream_unreachable",
  protocol: "upstream_protocol",
  auth: "mcp_auth_required",
  invalid_response: "upstream_invalid_response",
};

/** Of this process, or of who asked: nothing that would say something of a server. */
function rethrowOurs(thrown: unknown): void {
  const { code } = asGatewayError(thrown);
  if (code === "internal" || code === "rate_limited") throw thrown;
}
