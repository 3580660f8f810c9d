import type { Principal } from "../../core/principal.ts";
import type { Clock } from "../../core/runtime.ts";
import type { LogLevel } from "../../core/source.ts";
import { logLevels } from "../../core/source.ts";
import type { Upstream, UpstreamListing } from "../../core/upstream.ts";
import type { Connection } from "./connection.ts";
import { openConnection } from "./connection.ts";
import { isSessionLost, lostAgain } from "./failure.ts";
import type { Heard } from "./heard.ts";
import { hear, hearUnclear, onStream } from "./heard.ts";
import type { Lane } from "./lanes.ts";
import { abortable, createLanes } from "./lanes.ts";
import { createListening } from "./listening.ts";
import { fetchListing } from "./listing.ts";
import type { Params, RequestOptions } from "./rpc.ts";
import type { Times } from "./times.ts";
import type { Wire } from "./wire.ts";

/** One member's use of one server: its sessions, what is heard on them, what is listened for. */
export type Member = {
  upstream: Upstream;
  /** Who uses it at present, with what came with the last request. */
  principal: Principal;
  /**
   * Sends a request over a connection, which is opened when there is none. One that the server has forgotten, or whose
   * revision it does not speak any more, is replaced, and the request sent once more: nothing was done.
   */
  request(
    method: string,
    params: (connection: Connection) => Params,
    options: RequestOptions,
  ): Promise<Params>;
  /** Asks for all that the server has. */
  list(signal: AbortSignal): Promise<UpstreamListing>;
  /** Opens a connection when there is none. */
  connection(signal: AbortSignal): Promise<Connection>;
  /** Somebody listens for list changes and these resources; forgotten when it is not said again within a minute. */
  watch(uris: readonly string[]): void;
  /** True when it has not been used or watched for `ms`, and nothing is under way. */
  idleFor(ms: number): boolean;
  /** In monotonic ms. */
  usedAt(): number;
  /** Closes what was opened for many calls at once and is not needed any more. */
  trim(): void;
  /** Ends all that is under way; `gently`: ends when nothing is under way any more. */
  close(gently: boolean): void;
};

const TRIM_MS = 60_000;

export function createMember(wiring: {
  upstream: Upstream;
  principal: Principal;
  wire: Wire;
  client: { name: string; version: string };
  clock: Clock;
  heard: Heard;
  times: Times;
  /** Told of what is left out of lists. */
  dropped: (what: string) => void;
}): Member {
  const { upstream, wire, clock, heard, times } = wiring;
  let usedAt = clock.monotonic();
  const lanes = createLanes({
    name: upstream.name,
    clock,
    unclearMs: times.unclear,
    open: (options) =>
      openConnection({
        ...options,
        upstream,
        wire,
        client: wiring.client,
        missed: () => listening.missed(),
        timeoutMs: times.connect,
      }),
    hear: (method, params) => hear(heard, method, params),
    unclear: (method, params) => hearUnclear(heard, method, params),
    ended: () => listening.missed(),
  });
  const listening = createListening({
    name: upstream.name,
    lanes,
    heard,
    clock,
    timeoutMs: times.connect,
  });

  /** A server with sessions logs for a session and not for a call: the least urgent that was asked for so far. */
  async function raiseLevel(
    lane: Lane,
    connection: Connection,
    level: LogLevel,
    signal: AbortSignal,
  ): Promise<void> {
    const { era, capabilities } = connection.about;
    if (era === "stateless" || !capabilities["logging"]) return;
    const rank = (one: LogLevel | null) =>
      one === null ? Infinity : logLevels.indexOf(one);
    if (rank(lane.level) <= rank(level)) return;
    const before = lane.level;
    lane.level = level;
    await connection
      .request("logging/setLevel", { level }, { signal })
      .catch(() => {
        lane.level = before;
      });
  }

  async function attempt(
    method: string,
    params: (connection: Connection) => Params,
    options: RequestOptions,
  ): Promise<Params> {
    const { on, logLevel = null } = options;
    const { lane, leave } = on
      ? await lanes.enter(on, options.signal)
      : lanes.any();
    const signal = AbortSignal.any([options.signal, lane.over]);
    try {
      const connection = await abortable(lane.connection, signal);
      if (logLevel !== null) {
        await raiseLevel(lane, connection, logLevel, signal);
      }
      return await connection.request(method, params(connection), {
        ...options,
        signal,
        ...(on ? { on: onStream(heard, on) } : {}),
      });
    } catch (error) {
      if (isSessionLost(error)) lanes.drop(lane);
      throw error;
    } finally {
      leave(options.signal.aborted);
    }
  }

  /** Twice, when the connection is of no use any more. */
  async function healing<T>(work: () => Promise<T>): Promise<T> {
    usedAt = clock.monotonic();
    try {
      return await work().catch(async (error: unknown) => {
        if (!isSessionLost(error)) throw error;
        const result = await work().catch((again: unknown) => {
          throw lostAgain(upstream.name, again);
        });
        heard.missed();
        listening.missed();
        return result;
      });
    } finally {
      usedAt = clock.monotonic();
    }
  }

  return {
    upstream,
    principal: wiring.principal,
    request: (method, params, options) =>
      healing(() => attempt(method, params, options)),
    list: (signal) =>
      healing(async () => {
        const { lane, leave } = lanes.any();
        const either = AbortSignal.any([signal, lane.over]);
        try {
          const connection = await abortable(lane.connection, either);
          return await fetchListing(connection, either, wiring.dropped);
        } catch (error) {
          if (isSessionLost(error)) lanes.drop(lane);
          throw error;
        } finally {
          leave(false);
        }
      }),
    connection: async (signal) => abortable(lanes.connection(), signal),
    watch: listening.watch,
    idleFor: (ms) =>
      !lanes.isBusy() &&
      clock.monotonic() - usedAt > ms &&
      !listening.isWatched(),
    usedAt: () => Math.max(usedAt, listening.watchedAt()),
    trim: () => lanes.trim(TRIM_MS),
    close(gently) {
      listening.close();
      lanes.close(gently);
    },
  };
}
