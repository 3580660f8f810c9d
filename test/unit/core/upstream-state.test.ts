import { describe, expect, test } from "bun:test";
import { asGatewayError } from "../../../src/core/errors.ts";
import type { Upstream } from "../../../src/core/upstream.ts";
import type { UpstreamEvent } from "../../../src/core/upstream-state.ts";
import {
  advance,
  registered,
  sameSetup,
} from "../../../src/core/upstream-state.ts";
import { probe, upstreamOf } from "../../support/upstreams.ts";

const failure = { code: "upstream_unreachable", message: "No.", at: 7 };
const oauth = {
  issuer: "https://as.example",
  clientId: "c",
  registration: "dcr",
  scopes: [],
  hasClientSecret: false,
} as const;

/** Every state that there is, by a name of its own. */
const states = {
  "register: connect": { ...registered },
  "register: register_client": {
    ...registered,
    setupStep: "register_client",
    lastError: failure,
  },
  "register: add_credentials": {
    ...registered,
    setupStep: "add_credentials",
    lastError: failure,
  },
  authorize: {
    state: "authorize",
    enabled: false,
    setupStep: "authorize",
    authType: "oauth",
    oauth: { ...oauth, scopes: [] },
    sealedOauth: "sealed",
  },
  "ready, on": {
    state: "ready",
    enabled: true,
    setupStep: null,
    about: probe.about,
  },
  "ready, off": {
    state: "ready",
    enabled: false,
    setupStep: null,
    about: probe.about,
  },
} as const satisfies Record<string, Partial<Upstream>>;
type Name = keyof typeof states;
const names = Object.keys(states) as Name[];
const registers = names.filter((name) => name.startsWith("register"));

function nameOf({ state, enabled, setupStep }: Upstream): string {
  const name = names.find((one) => {
    const known = states[one];
    return (
      known.state === state &&
      known.enabled === enabled &&
      known.setupStep === setupStep
    );
  });
  return name ?? `undocumented: ${state} ${enabled} ${setupStep}`;
}

const events = {
  switched_on: { type: "switched_on", authorizeUrl: "https://us/authorize" },
  connected: { type: "connected", probe, at: 5 },
  "unauthorized, client registered": {
    type: "unauthorized",
    registration: "done",
    failure,
  },
  "unauthorized, registration failed": {
    type: "unauthorized",
    registration: "failed",
    failure,
  },
  "unauthorized, no registration": {
    type: "unauthorized",
    registration: "impossible",
    failure,
  },
  unreachable: { type: "unreachable", failure },
  switched_off: { type: "switched_off", clearRegistration: false },
  "switched_off and cleared": { type: "switched_off", clearRegistration: true },
  authorized: { type: "authorized", at: 5 },
  "test passed": { type: "tested", outcome: probe, at: 5 },
  "test failed": { type: "tested", outcome: failure, at: 5 },
  retargeted: { type: "retargeted", keepRegistration: false },
  "transport changed": { type: "retargeted", keepRegistration: true },
  "secret changed": { type: "credentials_changed", clientRegistered: false },
  "client registered by hand": {
    type: "credentials_changed",
    clientRegistered: true,
  },
} as const satisfies Record<string, UpstreamEvent>;
type EventName = keyof typeof events;

/** The arrows: from, event, to. What is not here must not exist. */
const arrows: [Name, EventName, Name][] = [
  ["ready, on", "switched_on", "ready, on"],
  ["ready, off", "switched_on", "ready, on"],

  ...registers.flatMap((from): [Name, EventName, Name][] => [
    [from, "connected", "ready, on"],
    [from, "unauthorized, client registered", "authorize"],
    [from, "unauthorized, registration failed", "register: register_client"],
    [from, "unauthorized, no registration", "register: add_credentials"],
    [from, "unreachable", from],
  ]),
  ["ready, on", "connected", "ready, on"],
  ["authorize", "unauthorized, client registered", "authorize"],
  ["authorize", "unauthorized, registration failed", "authorize"],
  ["authorize", "unauthorized, no registration", "authorize"],

  ...names.flatMap((from): [Name, EventName, Name][] => [
    [from, "switched_off", from === "ready, on" ? "ready, off" : from],
    [from, "switched_off and cleared", "register: connect"],
    [from, "test passed", "ready, on"],
    [from, "test failed", from],
    [from, "retargeted", "register: connect"],
    [from, "transport changed", "register: connect"],
  ]),

  ["authorize", "authorized", "ready, on"],
  ["ready, on", "authorized", "ready, on"],
  ["ready, off", "authorized", "ready, off"],

  ...names.flatMap((from): [Name, EventName, Name][] => {
    const to = from.startsWith("register") ? "register: connect" : from;
    return [[from, "secret changed", to]];
  }),
  ["register: connect", "client registered by hand", "register: connect"],
  ["register: register_client", "client registered by hand", "authorize"],
  ["register: add_credentials", "client registered by hand", "authorize"],
  ["authorize", "client registered by hand", "authorize"],
  ["ready, on", "client registered by hand", "ready, on"],
  ["ready, off", "client registered by hand", "ready, off"],
];

const serverIn = (name: Name) =>
  upstreamOf({ authType: "oauth", ...states[name] } as Partial<Upstream>);
const after = (before: Upstream, event: UpstreamEvent): Upstream => ({
  ...before,
  ...advance(before, event),
});

describe("the states of a registered server", () => {
  test("begin with: registered, off, to be connected", () => {
    expect(nameOf(upstreamOf({ ...registered }))).toBe("register: connect");
  });

  test.each(arrows)("%s — %s → %s", (from, event, to) => {
    expect(nameOf(after(serverIn(from), events[event]))).toBe(to);
  });

  const missing = names.flatMap((from) =>
    (Object.keys(events) as EventName[])
      .filter(
        (event) =>
          !arrows.some(([one, other]) => one === from && other === event),
      )
      .map((event) => [from, event] as const),
  );
  test.each(missing)("%s — %s is refused", (from, event) => {
    const refused = () => advance(serverIn(from), events[event]);
    const code =
      from === "authorize" && event === "switched_on"
        ? "authorization_required"
        : "changed_meanwhile";
    expect(refused).toThrow(
      expect.objectContaining({
        code: "conflict",
        data: expect.objectContaining({ code }),
      }),
    );
  });

  test("a refusal for want of an authorization says where to get it", () => {
    let thrown: unknown;
    try {
      advance(serverIn("authorize"), events.switched_on);
    } catch (error) {
      thrown = error;
    }
    expect(asGatewayError(thrown).data).toEqual({
      code: "authorization_required",
      authorizeUrl: "https://us/authorize",
    });
  });

  test("what changes nothing is no change", () => {
    expect(advance(serverIn("ready, on"), events.switched_on)).toBeNull();
    expect(advance(serverIn("ready, off"), events.switched_off)).toBeNull();
    expect(advance(serverIn("ready, on"), events.authorized)).toBeNull();
    expect(advance(serverIn("ready, on"), events["secret changed"])).toBeNull();
  });

  test("a connection leaves what was learned, and no error", () => {
    const was = serverIn("register: add_credentials");
    expect(after(was, events.connected)).toMatchObject({
      about: probe.about,
      lastCheckedAt: 5,
      lastLatencyMs: 12,
      lastError: null,
    });
  });

  test("a failure leaves its sentence and changes nothing else", () => {
    for (const name of names) {
      const was = serverIn(name);
      expect(after(was, events["test failed"])).toEqual({
        ...was,
        lastError: failure,
        lastCheckedAt: 7,
        lastLatencyMs: null,
      });
    }
  });

  test("a server that turns out to want OAuth is one of OAuth", () => {
    const was = upstreamOf({ authType: "none" });
    expect(after(was, events["unauthorized, client registered"]).authType).toBe(
      "oauth",
    );
    expect(after(was, events["unauthorized, no registration"]).authType).toBe(
      "none",
    );
  });

  test("clearing forgets the registration, switching off does not", () => {
    const was = { ...serverIn("ready, on"), ...states.authorize } as Upstream;
    expect(after(was, events["switched_off and cleared"])).toMatchObject({
      oauth: null,
      sealedOauth: null,
      about: null,
    });
    expect(after(was, events.switched_off).oauth).not.toBeNull();
    expect(after(was, events.retargeted).oauth).toBeNull();
    expect(after(was, events["transport changed"]).sealedOauth).toBe("sealed");
  });

  test("a client registered by hand leads to OAuth only where the server is one of OAuth", () => {
    const was = upstreamOf({ ...states["register: add_credentials"] });
    expect(nameOf(after(was, events["client registered by hand"]))).toBe(
      "register: connect",
    );
  });

  // Demanded: servers-states
  test("whatever happens, in whatever order, ends in one of these states", () => {
    const all = Object.values(events);
    // A small generator, so that a failure comes again.
    let seed = 42;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * below);
    };
    const seen = new Set<string>();
    for (let run = 0; run < 200; run++) {
      let server = upstreamOf({ ...registered });
      for (let step = 0; step < 30; step++) {
        const event = all[random(all.length)]!;
        try {
          server = after(server, event);
        } catch (error) {
          expect(asGatewayError(error).code).toBe("conflict");
        }
        seen.add(nameOf(server));
        if (server.enabled) expect(server.state).toBe("ready");
      }
    }
    expect([...seen].sort()).toEqual([...names].sort());
  });
});

describe("what was found out about a server", () => {
  test.each([
    ["url", { url: "https://other.example/mcp" }],
    ["transport", { transport: "sse" as const }],
    ["authType", { authType: "bearer" as const }],
    ["state", { state: "authorize" as const }],
    ["switch", { enabled: true }],
  ])("is worth nothing when its %s has changed since", (_, change) => {
    expect(sameSetup(upstreamOf(), upstreamOf(change))).toBe(false);
  });

  test("holds when it was only looked at, named or registered meanwhile", () => {
    expect(
      sameSetup(
        upstreamOf(),
        upstreamOf({
          name: "n",
          lastCheckedAt: 9,
          version: 4,
          // Sealed with another key, perhaps.
          sealedSecret: "other",
          oauth: { ...oauth, scopes: [] },
        }),
      ),
    ).toBe(true);
  });
});
