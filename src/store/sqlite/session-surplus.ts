import type { Database } from "bun:sqlite";
import type { Identity } from "../../core/principal.ts";
import { fairShare } from "../../core/shares.ts";

const STORED = {
  sessions: "sessions WHERE TRUE",
  /** Those without a session. */
  chats:
    "chats WHERE NOT EXISTS (SELECT 1 FROM sessions WHERE chat_pk = chats.pk)",
};

/** What is kept for members, and takes room however little it is used. */
export type Stored = keyof typeof STORED;
/** How many there were, and the row numbers of those that are too many. */
export type Surplus = { had: number; pks: number[] };

/** Of one member, up to `limit` of what is beyond the `most` last seen. */
export function surplusOfMember(
  client: Database,
  what: Stored,
  { workspace, subject }: Identity,
  most: number,
  kept: ReadonlySet<number>,
  limit: number,
): Surplus {
  const all = client
    .query<{ pk: number }, [string, string]>(
      `SELECT pk FROM ${STORED[what]} AND workspace = ? AND subject = ? ORDER BY last_seen_at DESC, pk DESC`,
    )
    .all(workspace, subject)
    .map(({ pk }) => pk);
  const pks = all
    .slice(most)
    .filter((pk) => !kept.has(pk))
    .slice(-limit);
  return { had: all.length, pks };
}

/** Of a workspace, up to `limit` of what its members have beyond `most`: of those who have most, the oldest. */
export function surplusOfWorkspace(
  client: Database,
  what: Stored,
  workspace: string,
  most: number,
  inUse: (who: Identity) => readonly number[],
  limit: number,
): Surplus {
  const members = client
    .query<{ subject: string; n: number }, [string]>(
      `SELECT subject, count(*) AS n FROM ${STORED[what]} AND workspace = ? GROUP BY subject`,
    )
    .all(workspace);
  const had = members.reduce((sum, { n }) => sum + n, 0);
  const pks: number[] = [];
  if (had <= most) return { had, pks };
  const share = fairShare(
    members.map(({ n }) => n),
    most,
  );
  const givers = new Map(
    members
      .filter(({ n }) => n > share)
      .map(({ subject, n }) => {
        const kept = new Set(inUse({ workspace, subject }));
        return [subject, { gives: n - share, kept }];
      }),
  );
  for (const { pk, subject } of client
    .query<{ pk: number; subject: string }, [string]>(
      `SELECT pk, subject FROM ${STORED[what]} AND workspace = ? ORDER BY last_seen_at, pk`,
    )
    .iterate(workspace)) {
    const giver = givers.get(subject);
    if (!giver || giver.gives === 0 || giver.kept.has(pk)) continue;
    giver.gives--;
    if (pks.push(pk) === Math.min(limit, had - most)) break;
  }
  return { had, pks };
}
