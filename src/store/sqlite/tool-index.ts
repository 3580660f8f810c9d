import { Database } from "bun:sqlite";
import type { BuildIndex, Tool } from "../../core/tool.ts";

/**
 * Ranking of tools by SQLite's FTS5, in memory: BM25 over what a person would call them, with the app's name and
 * the action's own weighing most. What is not a word of any tool is tried as the beginning of one, and then as
 * one with a letter or two wrong.
 */
export const buildToolIndex: BuildIndex = (tools) => {
  const db = new Database(":memory:");
  db.run(
    "CREATE VIRTUAL TABLE tools USING fts5(name, app, title, description, parameters, tokenize = 'porter unicode61 remove_diacritics 2')",
  );
  db.run("CREATE VIRTUAL TABLE words USING fts5vocab(tools, row)");
  const insert = db.prepare(
    "INSERT INTO tools (rowid, name, app, title, description, parameters) VALUES (?, ?, ?, ?, ?, ?)",
  );
  db.transaction(() => {
    for (const [n, tool] of tools.entries()) insert.run(n, ...textsOf(tool));
  })();
  const rank = db.prepare<{ n: number }, [string, string | null, number]>(
    `SELECT rowid AS n FROM tools
     WHERE tools MATCH ?1 AND (?2 IS NULL OR rowid IN (SELECT value FROM json_each(?2)))
     ORDER BY bm25(tools, ${WEIGHTS.join(", ")}), rowid LIMIT ?3`,
  );
  const exists = db.prepare<{ n: number }, [string]>(
    "SELECT rowid AS n FROM tools WHERE tools MATCH ? LIMIT 1",
  );
  // Stems, as the tokenizer makes them.
  const stems = db
    .query<{ term: string }, []>("SELECT term FROM words")
    .all()
    .map(({ term }) => term);
  // Misspelt words keep their first letter, nearly always.
  const stemsLike = Map.groupBy(stems, (stem) => `${stem[0]}${stem.length}`);

  /** One word of a query as an FTS5 expression; null when no tool has it, or begins with it. */
  function known(word: string): string | null {
    const meant = [word, ...(synonyms.get(word) ?? [])]
      .map(quote)
      .filter((term) => exists.get(term) !== null);
    if (meant[0] === quote(word)) meant.unshift(...own(meant[0]));
    if (meant.length > 0) return meant.join(" OR ");
    if (word.length >= MIN_PREFIX) {
      const prefix = `${quote(word)}*`;
      if (exists.get(prefix) !== null)
        return [prefix, ...own(prefix)].join(" OR ");
    }
    return null;
  }

  /** The words that an unknown one may be meant for. */
  function guess(word: string): string | null {
    const near = nearest(word, stemsLike).map((stem) => `${quote(stem)}*`);
    return near.length > 0 ? near.join(" OR ") : null;
  }

  return {
    search(query, apps, limit) {
      const words = new Set(wordsOf(query).slice(0, MAX_WORDS));
      let misspelt = 0;
      const expressions = [...words]
        .filter((word) => !stopWords.has(word))
        .map(
          (word) =>
            known(word) ?? (misspelt++ < MAX_GUESSES ? guess(word) : null),
        )
        .filter((found) => found !== null);
      if (expressions.length === 0) return [];
      const wanted = apps && new Set(apps);
      const rows =
        wanted &&
        [...tools.keys()].filter((n) => wanted.has(tools[n]!.offer.app.key));
      return rank
        .all(expressions.join(" OR "), rows && JSON.stringify(rows), limit)
        .map(({ n }) => tools[n]!.name);
    },
    close: () => db.close(),
  };
};

/** Of the columns, in their order. */
const WEIGHTS = [6, 8, 6, 2, 0.5];
const MAX_WORDS = 32;
/** Unknown words of one query that are taken for misspelt: each is compared with many. */
const MAX_GUESSES = 4;
const MIN_PREFIX = 3;

/** The word itself counts for more than those that are used for it: BM25 adds up what is repeated. */
const OWN_WEIGHT = 3;
const own = (term: string) =>
  Array.from({ length: OWN_WEIGHT - 1 }, () => term);

const quote = (term: string) => `"${term}"`;

/** Of a tool, in the order of the columns. */
function textsOf({ name, offer }: Tool): string[] {
  const { app, tool } = offer;
  const properties = tool.inputSchema.properties ?? {};
  return [
    wordsOf(offer.key ?? name),
    wordsOf(`${app.key} ${app.name}`),
    wordsOf(offer.name),
    wordsOf(tool.description ?? ""),
    wordsOf(Object.keys(properties).join(" ")),
  ].map((words) => words.join(" "));
}

/** Words in lower case; `createContact`, `create_contact` and `create-contact` are two each. */
function wordsOf(text: string): string[] {
  return text
    .replace(/(\p{Ll}|\d)(\p{Lu})/gu, "$1 $2")
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "");
}

/** Words that say nothing of what is wanted. */
const stopWords = new Set(
  "a an the of in on at to for from by with and or is are am was were be been my me i we us our you your he she it its they them their this that these those there please can could would should want need let have has had get got how what who which when where why do does did still now right some any all somebody someone something people".split(
    " ",
  ),
);

/** Words that people use for each other in what they ask of business apps. */
const synonyms = new Map<string, string[]>();
for (const group of [
  "create add new make",
  "delete remove erase",
  "update edit change modify",
  "list show find search fetch retrieve view",
  "send post",
  "email mail",
  "message dm chat",
  "meeting event appointment",
  "customer client contact",
  "ticket issue case bug",
  "file document doc",
  "folder directory",
  "invoice bill",
  "payment charge",
  "employee staff",
  "deal opportunity",
  "company organization account",
  "schedule book",
  "cancel void",
  "reply respond answer",
  "comment note",
  "assign reassign",
  "close resolve complete finish",
  "call phone ring dial",
  "holiday vacation leave",
  "sign signature",
]) {
  const words = group.split(" ");
  for (const word of words) {
    const others = words.filter((other) => other !== word);
    synonyms.set(word, [...(synonyms.get(word) ?? []), ...others]);
  }
}

/** The stems that a word with a letter or two wrong may be meant for; none for short words, or very long ones. */
function nearest(
  word: string,
  stems: ReadonlyMap<string, readonly string[]>,
): string[] {
  const stem = word.replace(/(?:ing|ed|es|s|e|y)$/, "");
  if (stem.length < 4 || stem.length > MAX_MISSPELT) return [];
  let allowed = word.length < 8 ? 1 : 2;
  let found: string[] = [];
  for (let n = stem.length - allowed; n <= stem.length + allowed; n++) {
    for (const candidate of stems.get(`${stem[0]}${n}`) ?? []) {
      const distance = editDistance(stem, candidate, allowed);
      if (distance > allowed) continue;
      if (distance < allowed) found = [];
      allowed = distance;
      found.push(candidate);
    }
  }
  return found.slice(0, MAX_NEAR);
}
const MAX_MISSPELT = 24;
const MAX_NEAR = 4;

/** Insertions, deletions, replacements and swaps of neighbours between two words; anything above `max` is `max + 1`. */
function editDistance(a: string, b: string, max: number): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(
        row[j - 1]! + 1,
        last[j]! + 1,
        last[j - 1]! + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, before[j - 2]! + 1);
      }
      row.push(best);
    }
    if (Math.min(...row) > max) return max + 1;
    [before, last] = [last, row];
  }
  return last[b.length]!;
}
