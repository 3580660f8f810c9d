import type { Database, SQLQueryBindings } from "bun:sqlite";
import type {
  EventType,
  Journal,
  JournalBounds,
  JournalView,
} from "../../core/journal.ts";
import { trafficTypes } from "../../core/journal.ts";
import { later } from "./later.ts";
import type { Writer } from "./writer.ts";

/** What is known of an entry that goes. Of its data only what decides whether a webhook is told of it. */
export type Leaving = {
  seq: number;
  workspace: string;
  type: EventType;
  data: Record<string, unknown>;
};

const KINDS = ["traffic", "kept"] as const;
type Kind = (typeof KINDS)[number];
const traffic: ReadonlySet<EventType> = new Set(trafficTypes);
const kindOf = (type: EventType): Kind =>
  traffic.has(type) ? "traffic" : "kept";

/** As the indexes have them, and the trigger that keeps entries from going unsaid. */
const KEPT = trafficTypes.map((type) => `type <> '${type}'`).join(" AND ");
const IS: { [K in Kind]: string } = {
  traffic: `NOT (${KEPT})`,
  kept: KEPT,
};
const OWNER: { [K in Kind]: string } = {
  traffic: "subject",
  kept: "coalesce(actor, subject)",
};
const KIND = `iif(${IS.kept}, 'kept', 'traffic')`;
const SHARE = `json_array(${KIND}, workspace, iif(${IS.kept}, ${OWNER.kept}, ${OWNER.traffic}))`;
/** Of an entry without its data, and of what finds it. */
const ROW_BYTES = 512;
const COST = `max(?1, octet_length(data) + ${ROW_BYTES})`;

/** Counted in one transaction, for each entry that may go in it. */
const COUNTED = 10;
/** Taken at once of a share that has no more than others: an eighth of it. */
const EIGHTH = 8;

/** Numbers whose entries are found by member together, as the index has them. */
const BLOCK = 1024;

type Share = {
  share: string;
  cost: number;
  gone: number;
  unsaid: number;
  since: number;
};
type Row = {
  seq: number;
  share: string;
  cost: number;
  workspace: string;
  type: string;
  data: string;
};

/**
 * What goes out of the journal, and whose. What entries take is counted here, after they were written, so that writing
 * one costs nothing more.
 */
export function createJournalShares(wiring: {
  client: Database;
  writer: Writer;
  last: () => number;
  /** Called, within the transaction, before these entries go. */
  beforePrune: (entries: readonly Leaving[]) => void;
  /** Does what makes room, where there may be none. */
  withRoom: <T>(work: () => T) => T;
}): Pick<Journal, "prune" | "lost"> {
  const { client, writer, last } = wiring;

  const read = later(() =>
    client.prepare<Share, [string]>(
      "SELECT share, cost, gone, unsaid, since FROM journal_shares WHERE share = ?",
    ),
  );
  const largest = later(() =>
    client.prepare<Share, [string]>(
      "SELECT share, cost, gone, unsaid, since FROM journal_shares WHERE within = ? ORDER BY cost DESC LIMIT 2",
    ),
  );
  const add = later(() =>
    client.prepare<null, [string, string, number, number, number]>(
      "INSERT INTO journal_shares VALUES (?, ?, ?, ?, 0, ?) ON CONFLICT (share) DO UPDATE SET cost = cost + excluded.cost, gone = max(gone, excluded.gone)",
    ),
  );
  const drop = later(() =>
    client.prepare<{ gone: number }, [string]>(
      "DELETE FROM journal_shares WHERE share = ? AND cost <= 0 RETURNING max(gone, unsaid) AS gone",
    ),
  );
  const remember = later(() =>
    client.prepare<null, [number, string]>(
      "UPDATE journal_shares SET unsaid = max(unsaid, ?) WHERE share = ?",
    ),
  );
  const rows = (kind: Kind, conditions: string) =>
    client.query<Row, SQLQueryBindings[]>(
      `SELECT seq, ${SHARE} AS share, ${COST} AS cost, workspace, type, iif(type = 'webhook_failed', data, '{}') AS data FROM journal WHERE ${IS[kind]} AND ${conditions} ORDER BY seq`,
    );

  const meta = (key: string) =>
    Number(
      client
        .query<{ value: string }, [string]>(
          "SELECT value FROM meta WHERE key = ?",
        )
        .get(key)?.value ?? 0,
    );
  const setMeta = (key: string, value: number) =>
    client.run(
      "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
      [key, String(value)],
    );

  /** Adds up what has come since; returns up to which number all are counted. */
  function count(floor: number, limit: number): number {
    if (meta("journal_floor") !== floor) {
      client.run("UPDATE journal_shares SET cost = 0");
      setMeta("journal_floor", floor);
      setMeta("journal_counted", 0);
    }
    const from = meta("journal_counted");
    const found = client
      .query<
        { share: string; cost: number; since: number; last: number },
        [number, number, number]
      >(
        `SELECT share, sum(cost) AS cost, min(seq) AS since, max(seq) AS last FROM (SELECT seq, ${SHARE} AS share, ${COST} AS cost FROM journal WHERE seq > ?2 ORDER BY seq LIMIT ?3) GROUP BY share`,
      )
      .all(floor, from, limit);
    if (found.length === 0) return from;
    change(found.map((row) => ({ ...row, gone: 0 })));
    const upTo = Math.max(...found.map((row) => row.last));
    setMeta("journal_counted", upTo);
    return upTo;
  }

  /** Changes shares, and what they are parts of. */
  function change(
    changes: { share: string; cost: number; gone: number; since: number }[],
  ) {
    const sums = new Map<
      string,
      { within: string; cost: number; gone: number; since: number }
    >();
    for (const { share, cost, gone, since } of changes) {
      let path = JSON.parse(share) as unknown[];
      let name = share;
      while (path.length > 0) {
        path = path.slice(0, -1);
        const within = path.length === 0 ? "" : JSON.stringify(path);
        const sum = sums.get(name) ?? { within, cost: 0, gone: 0, since };
        sum.cost += cost;
        sum.gone = Math.max(sum.gone, gone);
        sum.since = Math.min(sum.since, since);
        sums.set(name, sum);
        name = within;
      }
    }
    for (const [share, { within, cost, gone, since }] of sums) {
      add().run(share, within, cost, gone, since);
    }
    return sums;
  }

  /** In the transaction that is under way. */
  let leavers: Leaving[] = [];

  /** These are the oldest of their share. */
  function remove(leaving: readonly Row[]): void {
    if (leaving.length === 0) return;
    for (const { seq, workspace, type, data } of leaving) {
      leavers.push({
        seq,
        workspace,
        type: type as EventType,
        data: JSON.parse(data),
      });
    }
    const sums = change(
      leaving.map(({ share, cost, seq }) => ({
        share,
        cost: -cost,
        gone: seq,
        since: seq,
      })),
    );
    client.run(
      "DELETE FROM journal WHERE seq IN (SELECT value FROM json_each(?))",
      [JSON.stringify(leaving.map(({ seq }) => seq))],
    );
    // From the members to all: what is gone of them is said by what they were part of.
    for (const [share, { within }] of sums) {
      if (within === "") continue;
      const dropped = drop().get(share);
      if (dropped) remember().run(dropped.gone, within);
    }
  }

  /** Passes up to `limit` entries that are too old; true when there may be more. */
  function removeOld(
    kind: Kind,
    before: number,
    floor: number,
    end: number,
    limit: number,
  ): { removed: number; more: boolean } {
    const key = `journal_swept_${kind}`;
    const from = meta(key);
    const passed = client
      .query<
        { n: number; upTo: number | null },
        [number, number, number, number]
      >(
        "SELECT count(*) AS n, max(seq) AS upTo FROM (SELECT seq, at FROM journal WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?) WHERE at < ?",
      )
      .get(from, end, limit, before)!;
    if (passed.upTo === null) return { removed: 0, more: false };
    const leaving = rows(kind, "seq > ?2 AND seq <= ?3").all(
      floor,
      from,
      passed.upTo,
    );
    remove(leaving);
    setMeta(key, passed.upTo);
    return { removed: leaving.length, more: passed.n >= limit };
  }

  /** Of one member, the oldest first. */
  function* entriesOf(
    kind: Kind,
    { share, gone, since }: Share,
    floor: number,
    end: number,
  ): Iterable<Row> {
    const [, workspace, owner] = JSON.parse(share) as [string, string, string];
    const after = Math.max(gone, since - 1);
    const own = `workspace = ?2 AND ${OWNER[kind]} IS ?3 AND seq > ?4 AND seq <= ?5`;
    if (kind === "kept") {
      yield* rows(kind, own).iterate(floor, workspace, owner, after, end);
      return;
    }
    const inBlock = rows(kind, `seq / ${BLOCK} = ?6 AND ${own}`);
    const last = Math.floor(end / BLOCK);
    for (let block = Math.floor((after + 1) / BLOCK); block <= last; block++) {
      yield* inBlock.all(floor, workspace, owner, after, end, block);
    }
  }

  /** As many of the oldest entries of a member as take `wanted`. */
  function oldestOf(
    kind: Kind,
    member: Share,
    wanted: number,
    floor: number,
    end: number,
    limit: number,
  ): Row[] {
    const found: Row[] = [];
    let cost = 0;
    for (const row of entriesOf(kind, member, floor, end)) {
      found.push(row);
      cost += row.cost;
      if (cost >= wanted || found.length === limit) break;
    }
    return found;
  }

  /** Removes up to `limit` of what is beyond `most`; returns how many. */
  function removeBeyond(
    kind: Kind,
    most: number,
    floor: number,
    end: number,
    limit: number,
  ): number {
    let removed = 0;
    for (;;) {
      const excess = (read().get(JSON.stringify([kind]))?.cost ?? 0) - most;
      const left = limit - removed;
      if (excess <= 0 || left <= 0) return removed;
      const [workspace, nextWorkspace] = largest().all(JSON.stringify([kind]));
      const [member, nextMember] = largest().all(workspace!.share);
      const wanted = Math.min(
        excess,
        above(workspace!, nextWorkspace),
        above(member!, nextMember),
      );
      let leaving = oldestOf(kind, member!, wanted, floor, end, left);
      if (leaving.length === 0) {
        // Of that one nothing is left but the newest of all entries, which stays: the next gives.
        const others = [
          ...(nextMember ? [nextMember] : []),
          ...(nextWorkspace ? largest().all(nextWorkspace.share) : []),
        ];
        const [next] = others;
        if (next) leaving = oldestOf(kind, next, 1, floor, end, left);
      }
      if (leaving.length === 0) return removed;
      remove(leaving);
      removed += leaving.length;
    }
  }

  function prune(bounds: JournalBounds, limit: number) {
    leavers = [];
    const floor = Math.ceil(bounds.bytes / bounds.traffic.most);
    const counted = count(floor, limit * COUNTED);
    const newest = last();
    // The newest stays, or numbers would begin anew.
    const end = Math.min(counted, newest - 1);
    let forgotten = 0;
    let more = counted < newest;
    for (const kind of KINDS) {
      const { before, most } = bounds[kind];
      // With less than that for each, the number of entries bounds nothing.
      const byBytes = kind === "traffic" && floor < ROW_BYTES;
      const bound = byBytes ? bounds.bytes : most * floor;
      const old = removeOld(kind, before, floor, end, limit);
      const left = Math.max(limit - old.removed, 0);
      const beyond = removeBeyond(kind, bound, floor, end, left);
      forgotten += old.removed + beyond;
      more ||= old.more || (beyond > 0 && beyond === left);
    }
    // Once for all of them: it looks at every webhook.
    if (leavers.length > 0) wiring.beforePrune(leavers);
    return { forgotten, more };
  }

  return {
    prune: (bounds, limit) =>
      writer.write(() => wiring.withRoom(() => prune(bounds, limit))),

    lost({ workspace, subject }: JournalView, types) {
      const at = (...path: string[]) =>
        read().get(JSON.stringify(path)) ?? { gone: 0, unsaid: 0 };
      const kinds = new Set(types === null ? KINDS : [...types].map(kindOf));
      return Math.max(
        0,
        ...[...kinds].map((kind) => {
          const all = at(kind, workspace);
          const own =
            kind === "kept" || subject === null
              ? // Whoever did it, it may have concerned everybody.
                all.gone
              : Math.max(all.unsaid, at(kind, workspace, subject).gone);
          return Math.max(own, at(kind).unsaid);
        }),
      );
    },
  };
}

/** By how much a share is larger than the next, and at least an eighth of it: a few of the same size give in turn. */
function above(share: Share, next: Share | undefined): number {
  return Math.max(share.cost - (next?.cost ?? 0), share.cost / EIGHTH);
}
