import { GatewayError } from "../../core/errors.ts";
import type { Principal } from "../../core/principal.ts";
import type { Upstream } from "../../core/upstream.ts";
import type { Member } from "./member.ts";

/** Who is connected to which server at present; bounded, and each closed when nobody needs it. */
export type Members = {
  /** The member's use of a server as it is registered now. Throws `rate_limited` when there are too many. */
  of(upstream: Upstream, principal: Principal): Member;
  /** True when another one can be had without closing any. */
  hasRoom(): boolean;
  /** Of all members; or of one, who may be somebody else there now, and whose calls under way go on. */
  drop(serverId: number, subject?: string): void;
  /**
   * Closes what nobody needs, and what `now` says is reached in another way, or not at all (null), now.
   */
  tidy(now: (upstream: Upstream) => Upstream | null): void;
  closeAll(): void;
  count(): number;
};

const IDLE_MS = 120_000;

export function createMembers(
  max: number,
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

  function makeRoom(): void {
    if (members.size < max) return;
    const [longest] = [...members]
      .filter(([, member]) => member.idleFor(0))
      .toSorted(([, a], [, b]) => a.usedAt() - b.usedAt());
    if (longest) return close(...longest);
    throw new GatewayError(
      "rate_limited",
      `This server has ${max} connections to other servers open, all in use. Try again soon.`,
      { retryAfterMs: 5000 },
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
      makeRoom();
      const member = create(upstream, principal);
      members.set(key, member);
      return member;
    },
    hasRoom: () => members.size < max,
    drop(serverId, subject) {
      for (const [key, member] of members) {
        if (member.upstream.id !== serverId) continue;
        if (subject === undefined) close(key, member);
        else if (subject === member.principal.subject) close(key, member, true);
      }
    },
    tidy(now) {
      for (const [key, member] of members) {
        const upstream = now(member.upstream);
        const usable = upstream && sameWay(member.upstream, upstream);
        if (!usable || member.idleFor(IDLE_MS)) close(key, member);
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
