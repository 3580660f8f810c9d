import { GatewayError } from "./errors.ts";
import type {
  FailureClass,
  Probe,
  Upstream,
  UpstreamEdit,
  UpstreamFailure,
} from "./upstream.ts";

/**
 * What becomes of a registered server when something happens. These are all the states there are:
 *
 * - `register`, off: `setupStep` says what is next: `connect` (nobody has tried yet, or nothing answered),
 *   `register_client` (its authorization server did not take our registration; try again), `add_credentials`
 * - `authorize`, off, `setupStep` `authorize`: a member has to go through OAuth
 * - `ready`, on or off, no `setupStep`
 */
export type UpstreamEvent =
  /** Somebody wants it on. In `register` it has to be connected first. */
  | { type: "switched_on"; authorizeUrl: string }
  /** What came of connecting it, for who wants it on. */
  | { type: "connected"; probe: Probe; at: number }
  | {
      type: "unauthorized";
      /** Of a client of ours with its authorization server. */
      registration: "done" | "failed" | "impossible";
      failure: UpstreamFailure;
    }
  | { type: "unreachable"; failure: UpstreamFailure }
  | { type: "switched_off"; clearRegistration: boolean }
  /** A member has come back from the authorization server with tokens. */
  | { type: "authorized"; at: number }
  /** A look at it, by somebody who may change it. */
  | { type: "tested"; at: number; outcome: Probe | UpstreamFailure }
  /** It is another server now, or reached in another way: what was learned of it does not hold. */
  | { type: "retargeted"; keepRegistration: boolean }
  /** The secret for everybody, or the client that a person registered, is another one. */
  | { type: "credentials_changed"; clientRegistered: boolean };

/** A server that was registered just now. */
export const registered = {
  state: "register",
  enabled: false,
  setupStep: "connect",
} as const satisfies UpstreamEdit;

const forgotten = {
  ...registered,
  about: null,
  lastError: null,
} satisfies UpstreamEdit;

const unregistered = {
  oauth: null,
  sealedOauth: null,
} satisfies UpstreamEdit;

/**
 * What the event changes; null when it changes nothing. Throws `conflict`, with `data.code`: `authorization_required`,
 * or `changed_meanwhile` for an outcome that has come too late to mean anything.
 */
export function advance(
  { state, enabled, setupStep, authType }: Upstream,
  event: UpstreamEvent,
): UpstreamEdit | null {
  switch (event.type) {
    case "switched_on":
      if (state === "authorize") {
        throw new GatewayError(
          "conflict",
          "The server wants OAuth: open authorizeUrl in a browser and log in there.",
          {
            data: {
              code: "authorization_required",
              authorizeUrl: event.authorizeUrl,
            },
          },
        );
      }
      if (state === "register") throw changedMeanwhile();
      return enabled ? null : { enabled: true };

    case "connected":
      if (state === "ready" && enabled) return null;
      if (state !== "register") throw changedMeanwhile();
      return ready(event.probe, event.at);

    case "unauthorized": {
      if (state === "authorize") return null;
      if (state !== "register") throw changedMeanwhile();
      const { failure, registration } = event;
      const seen = { lastCheckedAt: failure.at, lastLatencyMs: null };
      if (registration === "done") {
        return {
          ...seen,
          state: "authorize",
          setupStep: "authorize",
          authType: "oauth",
          lastError: null,
        };
      }
      return {
        ...seen,
        setupStep:
          registration === "failed" ? "register_client" : "add_credentials",
        lastError: failure,
      };
    }

    case "unreachable":
      if (state !== "register") throw changedMeanwhile();
      return failed(event.failure);

    case "switched_off":
      if (event.clearRegistration) return { ...forgotten, ...unregistered };
      return enabled ? { enabled: false } : null;

    case "authorized":
      if (state === "ready") return null;
      if (state !== "authorize") throw changedMeanwhile();
      return {
        state: "ready",
        enabled: true,
        setupStep: null,
        lastError: null,
        lastCheckedAt: event.at,
      };

    case "tested":
      return isFailure(event.outcome)
        ? failed(event.outcome)
        : ready(event.outcome, event.at);

    case "retargeted":
      return event.keepRegistration
        ? forgotten
        : { ...forgotten, ...unregistered };

    case "credentials_changed":
      if (state !== "register" || setupStep === "connect") return null;
      if (event.clientRegistered && authType === "oauth") {
        return { state: "authorize", setupStep: "authorize", lastError: null };
      }
      return { setupStep: "connect", lastError: null };
  }
}

function ready({ latencyMs, about }: Probe, at: number): UpstreamEdit {
  return {
    state: "ready",
    enabled: true,
    setupStep: null,
    about,
    lastCheckedAt: at,
    lastLatencyMs: latencyMs,
    lastError: null,
  };
}

function failed(failure: UpstreamFailure): UpstreamEdit {
  return {
    lastCheckedAt: failure.at,
    lastLatencyMs: null,
    lastError: failure,
  };
}

function isFailure(
  outcome: Probe | UpstreamFailure,
): outcome is UpstreamFailure {
  return "message" in outcome;
}

/** True when what was found out about one is true of the other: the same server, reached in the same way, not switched since. */
export function sameSetup(a: Upstream, b: Upstream): boolean {
  const of = (one: Upstream) => [
    one.state,
    one.enabled,
    one.url,
    one.transport,
    one.command,
    one.authType,
    one.sealedSecret,
  ];
  return JSON.stringify(of(a)) === JSON.stringify(of(b));
}

export function changedMeanwhile(): GatewayError {
  return new GatewayError(
    "conflict",
    "The server was changed by somebody else meanwhile. Look at it again, and repeat what is still wanted.",
    { data: { code: "changed_meanwhile" } },
  );
}

/** What is told of a failure: nothing of what the other side has said, and the same whether it is closed, silent or forbidden. */
export const failureSentences: Record<FailureClass, string> = {
  transport: "The server could not be reached.",
  protocol: "The server answered, but not as an MCP server does.",
  auth: "The server does not accept the credential, or wants one.",
  invalid_response: "The server's answer is not valid MCP.",
};
