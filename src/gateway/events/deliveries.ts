import { describeError } from "../../core/errors.ts";
import type { Journal } from "../../core/journal.ts";
import type { Clock, Ids, Log } from "../../core/runtime.ts";
import type { Telemetry } from "../../core/telemetry.ts";
import { noTelemetry } from "../../core/telemetry.ts";
import type {
  Claimed,
  DeliveryStore,
  Settlement,
  Webhook,
  WebhookStore,
} from "../../core/webhook.ts";
import { wants, originOf } from "../../core/webhook.ts";
import type { Send, Tried } from "./attempts.ts";
import { bodyOf, eventId } from "./webhook-body.ts";

/** Takes what is in the journal to the webhooks that want it. */
export type Deliveries = {
  /** Takes up what a process that is gone has left, and follows the journal from then on. */
  start(): Promise<void>;
  /** Looks whether another process has changed anything: `version` is another one when it has. */
  look(version: number): void;
  /** There is something for this webhook that is not new. */
  wake(id: string): void;
  /** Sends what has become due; happens by itself, unless the clock was set, which is noticed here. */
  tick(): void;
  /** Begins nothing more, and waits so long for what is under way. What is cut off then is sent again. */
  stop(graceMs: number): Promise<void>;
};

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Between the attempts; after the last of them nobody tries any more. */
const DELAYS = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  10 * HOUR,
];
/** By how much of each they differ, either way: what failed together does not come back together. */
const JITTER = 0.2;
/** After so long without a delivery that was taken, a webhook is turned off. */
const GIVEN_UP_MS = 5 * DAY;
/** More than one attempt can take. */
const LEASE_MS = MINUTE;
/** Under way at a time, of all webhooks; half as many of those whose last delivery has failed. */
const MAX_FLYING = 256;
/** By more than this a clock is set, and does not just go wrong. */
const SET_MS = 5 * SECOND;
/** After the store could not be written. */
const STORE_MS = 5 * SECOND;
/** Entries of the journal, looked at in one turn. */
const PAGE = 500;
/** How far behind the place of a webhook may be that nothing happens for. */
const FAR = 5000;

/** What is known here of a webhook that is turned on. All that counts is in the store. */
type Lane = {
  webhook: Webhook;
  /** There may be something for it in the journal. */
  hot: boolean;
  dueAt: number | null;
  flying: number;
  claiming: boolean;
};

export function createDeliveries(wiring: {
  webhooks: WebhookStore;
  deliveries: DeliveryStore;
  journal: Journal;
  send: Send;
  clock: Clock;
  ids: Pick<Ids, "random">;
  log: Log;
  telemetry?: Telemetry;
}): Deliveries {
  const { webhooks, deliveries, journal, send, clock, ids, log } = wiring;
  const { telemetry = noTelemetry } = wiring;
  const lanes = new Map<string, Lane>();
  const flights = new Set<Promise<void>>();
  const cutter = new AbortController();
  let running = false;
  let seen = 0;
  let othersVersion: number | null = null;
  /** Deliveries under way, and those that a claim may bring; of them those to webhooks that were failing. */
  let busy = 0;
  let busyFailing = 0;
  let pumping = false;
  let timer: Timer | null = null;
  const ahead = () => clock.now() - clock.monotonic();
  let wasAhead = ahead();

  /** Which webhooks there are. */
  function load(): void {
    const found = webhooks.enabled();
    // What was before is for each of them to find.
    if (lanes.size === 0 && found.length > 0) seen = journal.last();
    const ids = new Set(found.map(({ id }) => id));
    for (const id of lanes.keys()) if (!ids.has(id)) lanes.delete(id);
    for (const webhook of found) {
      const known = lanes.get(webhook.id);
      // Whatever has changed of it: it is looked at again.
      if (known) Object.assign(known, { webhook, hot: true });
      else {
        lanes.set(webhook.id, {
          webhook,
          hot: true,
          dueAt: null,
          flying: 0,
          claiming: false,
        });
      }
    }
    soon();
  }

  /** Reads on in the journal, once for all of them. */
  function follow(): void {
    if (!running || lanes.size === 0) return;
    const last = journal.last();
    while (seen < last) {
      const page = journal.readOn(seen, PAGE);
      for (const entry of page) {
        for (const lane of lanes.values()) {
          lane.hot ||= wants(lane.webhook, entry);
        }
      }
      seen = page.at(-1)?.seq ?? last;
    }
    for (const lane of lanes.values()) {
      lane.hot ||= seen - lane.webhook.cursor > FAR;
    }
    soon();
  }

  function soon(): void {
    if (pumping || !running) return;
    pumping = true;
    setImmediate(() => {
      pumping = false;
      pump();
    });
  }

  /** Has those who are ready claim something, each in its turn. */
  function pump(): void {
    if (!running) return;
    const now = clock.now();
    const ready = [...lanes].filter(
      ([, { hot, dueAt, claiming }]) =>
        !claiming && (hot || (dueAt !== null && dueAt <= now)),
    );
    for (const [id, lane] of ready) {
      const room = roomFor(lane);
      if (room <= 0) continue;
      // The others come first next time.
      lanes.delete(id);
      lanes.set(id, lane);
      track(claim(lane, room));
    }
    arm();
  }

  function roomFor({ webhook, flying }: Lane): number {
    const own = webhook.concurrency - flying;
    const all = MAX_FLYING - busy;
    return webhook.failingSince === null
      ? Math.min(own, all)
      : Math.min(own, all, MAX_FLYING / 2 - busyFailing);
  }

  /** Waits for the next that becomes due. */
  function arm(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    let next = Infinity;
    const now = clock.now();
    for (const { dueAt, claiming } of lanes.values()) {
      // What is due already waits for something else than time.
      if (dueAt !== null && dueAt > now && !claiming) {
        next = Math.min(next, dueAt);
      }
    }
    if (next === Infinity || !running) return;
    timer = setTimeout(pump, Math.min(next - now, DAY));
    timer.unref();
  }

  function track(work: Promise<void>): void {
    flights.add(work);
    void work.finally(() => flights.delete(work));
  }

  async function claim(lane: Lane, room: number): Promise<void> {
    const { id, failingSince } = lane.webhook;
    const failing = failingSince !== null;
    const take = (more: number) => {
      busy += more;
      if (failing) busyFailing += more;
    };
    let taken = room;
    take(room);
    lane.claiming = true;
    lane.hot = false;
    try {
      const now = clock.now();
      const found = await deliveries.claim(
        id,
        { now, until: now + LEASE_MS },
        room,
      );
      lane.dueAt = found.dueAt;
      lane.hot ||= found.more;
      if (found.webhook) lane.webhook = found.webhook;
      for (const claimed of found.claimed) {
        lane.flying++;
        taken--;
        const landed = () => {
          take(-1);
          lane.flying--;
          lane.hot = true;
          soon();
        };
        track(deliver(found.webhook!, claimed, landed));
      }
    } catch (error) {
      waitForStore(lane, error);
    } finally {
      take(-taken);
      lane.claiming = false;
      soon();
    }
  }

  /** What waits for its next attempt does not wait longer because the clock was set back. */
  function followClock(): void {
    const is = ahead();
    const back = wasAhead - is;
    wasAhead = is;
    if (back < SET_MS || lanes.size === 0) return;
    const moved = deliveries.setBack(back, clock.now()).then(
      () => {
        for (const lane of lanes.values()) lane.hot = true;
        soon();
      },
      (error: unknown) =>
        log.error("webhooks wait longer, as the clock was set back", {
          ms: back,
          reason: describeError(error),
        }),
    );
    track(moved);
  }

  function waitForStore(lane: Lane, error: unknown): void {
    lane.dueAt = clock.now() + STORE_MS;
    log.error("webhook delivery not recorded", {
      webhook: lane.webhook.id,
      reason: describeError(error),
    });
  }

  async function deliver(
    webhook: Webhook,
    claimed: Claimed,
    landed: () => void,
  ): Promise<void> {
    const { entry } = claimed;
    let flying = true;
    const land = () => {
      if (flying) landed();
      flying = false;
    };
    try {
      const message = {
        id: eventId(entry),
        body: bodyOf(entry, webhook.form),
        traceparent: entry.traceparent,
        attempts: claimed.attempts,
      };
      const tried = await send(webhook, message, cutter.signal);
      const { at, ms, status, error } = tried;
      const now = clock.now();
      const chance = ids.random(1)[0]! / 255;
      const settled = deliveries.settle(
        webhook.id,
        claimed,
        { at, ms, status, error },
        (current, attempts) => judge(current, tried, attempts, now, chance),
      );
      // What is claimed next is in the same commit.
      land();
      tell(webhook, claimed, tried, await settled);
    } catch (error) {
      if (cutter.signal.aborted) {
        return deliveries
          .release(webhook.id, claimed, clock.now())
          .catch(() => {});
      }
      const lane = lanes.get(webhook.id);
      if (lane) waitForStore(lane, error);
    } finally {
      land();
    }
  }

  function tell(
    { id, workspace, url }: Webhook,
    { entry, attempts }: Claimed,
    { status, error, ms }: Tried,
    settlement: Settlement | null,
  ): void {
    const lane = lanes.get(id);
    if (lane && settlement) {
      const { failingSince } = settlement;
      lane.webhook = { ...lane.webhook, failingSince };
    }
    const failed = settlement?.state === "dead" ? "dead" : "retried";
    telemetry.count("webhookDeliveries", {
      outcome: error === null ? "delivered" : failed,
    });
    telemetry.observe("webhookDelivery", ms, {});
    const fields = {
      workspace,
      webhook: id,
      url: originOf(url),
      delivery: eventId(entry),
      type: entry.type,
      attempt: attempts + 1,
      status,
      ms,
      error,
      state: settlement?.state ?? null,
    };
    if (error === null) log.debug("webhook delivered", fields);
    else log.warn("webhook not delivered", fields);
    if (settlement?.disable) {
      log.warn("webhook turned off", {
        workspace,
        webhook: id,
        reason: settlement.disable,
      });
    }
  }

  return {
    async start() {
      running = true;
      if (webhooks.enabled().length > 0) {
        await deliveries.releaseAll(clock.now());
      }
      webhooks.onChange(load);
      journal.onAppend(follow);
      load();
    },
    look(version) {
      if (!running || version === othersVersion) return;
      othersVersion = version;
      follow();
      load();
    },
    wake(id) {
      const lane = lanes.get(id);
      if (lane) lane.hot = true;
      soon();
    },
    tick() {
      if (running) followClock();
      soon();
    },
    async stop(graceMs) {
      running = false;
      if (timer !== null) clearTimeout(timer);
      const over = Promise.withResolvers<void>();
      const limit = setTimeout(over.resolve, graceMs);
      while (flights.size > 0) {
        const all = Promise.allSettled(flights).then(() => "done" as const);
        if ((await Promise.race([all, over.promise])) !== "done") break;
      }
      clearTimeout(limit);
      cutter.abort(new Error("The server is stopping."));
      while (flights.size > 0) await Promise.allSettled(flights);
    },
  };
}

/** What becomes of a delivery after its `attempts`th attempt. `chance`: from 0 to 1. */
export function judge(
  webhook: Pick<Webhook, "failingSince">,
  { status, error, retryAfterMs }: Tried,
  attempts: number,
  now: number,
  chance: number,
): Settlement {
  const settled = { dueAt: null, failingSince: null, disable: null };
  if (error === null) return { ...settled, state: "delivered" };
  const failingSince = webhook.failingSince ?? now;
  const failed = { ...settled, failingSince };
  // It stays what is next, for when somebody turns the webhook on again.
  if (status === 410) return { ...failed, state: "pending", disable: "gone" };
  const disable = now - failingSince >= GIVEN_UP_MS ? "failing" : null;
  const delay = DELAYS[attempts - 1];
  if (delay === undefined) return { ...failed, state: "dead", disable };
  const jittered = delay * (1 + JITTER * (2 * chance - 1));
  const dueAt = now + Math.round(Math.max(jittered, retryAfterMs ?? 0));
  return { ...failed, state: "pending", dueAt, disable };
}
