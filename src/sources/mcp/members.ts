import { GatewayError } from "../../core/errors.ts";
import { limited } from "../../core/limit.ts";
import type { Principal } from "../../core/principal.ts";
import type { Upstream } from "../../core/upstream.ts";
import type { Member } from "./member.ts";

/** Who is connected to which server at present; bounded, and each closed when nobody needs it. */
export type Members = {
  /** The member's use of a server as it is registered now. Throws `rate_limited` when there are too many. */
  of(upstream: Upstream, principal: Principal): Member;
  /** True when another one can be had without closing any. */
  hasRoom(): boolean;
  /**
   * Of all members, or of one. Nothing new goes that way; calls under way go on, unless the server is reached in another
   * way now, or not at all.
   */
  drop(serverId: number, subject?: string): void;
  /** Closes what nobody needs, and what is reached in another way, or not at all, now. */
  tidy(): void;
  closeAll(): void;
  count(): number;
};

const IDLE_MS = 120_000;
/** Ways through other gateways by which one member uses one server. */
const MAX_WAYS = 4;

export function createMembers(
  max: number,
  /** A server as it is now; null when it cannot be used. */
  now: (upstream: Upstream) => Upstream | null,
  create: (upstream: Upstream, principal: Principal) => Member,
): Members {
  const members = new Map<string, Member>();
  // What came through other gateways goes on as such, so that a circle is noticed.
  const keyOf = (serverId: number, { subject, via = [] }: Principal) =>
    JSON.stringify([serverId, subject, ...via]);

  function close(key: string, member: Member, gently = false): void {
    members.delete(key);
    member.close(gently);
  }

  const isUsable = ({ upstream }: Member) => {
    const current = now(upstream);
    return current !== null && sameWay(upstream, current);
  };

  function makeRoom(among: [string, Member][], most: number): void {
    if (among.length < most) return;
    const [longest] = among
      .filter(([, member]) => member.idleFor(0))
      .toSorted(([, a], [, b]) => a.usedAt() - b.usedAt());
    if (longest) return close(...longest);
    throw new GatewayError(
      "rate_limited",
      `There are ${most} connections open that this would need one of, all in use. Try again soon.`,
      { retryAfterMs: 5000, data: limited("connections") },
    );
  }

  return {
    of(upstream, principal) {
      const key = keyOf(upstream.id, principal);
      const known = members.get(key);
      if (known && sameWay(known.upstream, upstream)) {
        known.upstream = upstream;
        known.principal = principal;
        return known;
      }
      if (known) close(key, known);
      const own = [...members].filter(
        ([, { upstream: of, principal: by }]) =>
          of.id === upstream.id && by.subject === principal.subject,
      );
      makeRoom(own, MAX_WAYS);
      makeRoom([...members], max);
      const member = create(upstream, principal);
      members.set(key, member);
      return member;
    },
    hasRoom: () => members.size < max,
    drop(serverId, subject) {
      for (const [key, member] of members) {
        if (member.upstream.id !== serverId) continue;
        if (subject === undefined || subject === member.principal.subject) {
          close(key, member, isUsable(member));
        }
      }
    },
    tidy() {
      for (const [key, member] of members) {
        if (!isUsable(member) || member.idleFor(IDLE_MS)) close(key, member);
        else member.trim();
      }
    },
    closeAll() {
      for (const [key, member] of members) close(key, member);
    },
    count: () => members.size,
  };
}

/** Whether connections to the one are good for the other. */
export function sameWay(a: Upstream, b: Upstream): boolean {
  return (
    a.url === b.url &&
    a.transport === b.transport &&
    a.authType === b.authType &&
    a.sealedSecret === b.sealedSecret &&
    Bun.deepEquals(a.command, b.command)
  );
}
