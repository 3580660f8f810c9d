import type { Definition } from "./upstream.ts";

/** What a server says a tool is, whether that has changed, and whether it may be believed. */

const parts = [
  "name",
  "title",
  "description",
  "inputSchema",
  "outputSchema",
  "annotations",
] as const;

/** SHA-256, in hexadecimal, of all that a tool's definition says to a model; the order of its keys does not count. */
export function definitionHash(tool: Record<string, unknown>): string {
  const said = parts.map((part) => tool[part] ?? null);
  return new Bun.CryptoHasher("sha256")
    .update(JSON.stringify(said, inOrder))
    .digest("hex");
}

/** For JSON.stringify: objects with their keys sorted. */
function inOrder(_key: string, value: unknown): unknown {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(
        Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)),
      )
    : value;
}

/** What is to be thought of the tools that a server lists. */
export type Judgement = {
  /** To be recorded with `addDefinitions`. */
  add: Definition[];
  /** Names of tools that are not what they have been: for the log. */
  changed: string[];
  /** Names of tools that wait for approval: nobody may call them, or read what they say. */
  blocked: Set<string>;
};

/**
 * The first definition of a tool is approved by itself. So is one that follows it, unless the server is pinned: then
 * only what was approved before, or has been by somebody since, is.
 */
export function judge(
  tools: readonly Record<string, unknown>[],
  known: readonly Definition[],
  pinned: boolean,
  now: number,
): Judgement {
  const byTool = Map.groupBy(known, ({ tool }) => tool);
  const judgement: Judgement = { add: [], changed: [], blocked: new Set() };
  for (const item of tools) {
    const tool = String(item["name"]);
    const hash = definitionHash(item);
    const before = byTool.get(tool);
    const same = before?.find((definition) => definition.hash === hash);
    if (same && same.approvedAt !== null) continue;
    const blocked = before !== undefined && pinned;
    if (blocked) judgement.blocked.add(tool);
    if (before !== undefined && !same) judgement.changed.push(tool);
    if (same && blocked) continue;
    judgement.add.push({
      tool,
      hash,
      firstSeenAt: now,
      approvedAt: blocked ? null : now,
      approvedBy: null,
    });
  }
  return judgement;
}

/**
 * Why a person should look at a text before a model does: what it has that cannot be seen, or that talks to the model.
 * Judged over everything a definition says; nothing is changed.
 */
export function suspicions(tool: Record<string, unknown>): string[] {
  const text = textsOf(tool).join("\n");
  return Object.entries(signs)
    .filter(([, has]) => has(text))
    .map(([reason]) => reason);
}

const signs: Record<string, (text: string) => boolean> = {
  // A joiner makes one emoji of several, and is suspicious elsewhere.
  zero_width: (text) =>
    /[\u200b\u2060-\u2064\ufeff\u180e]|(?<![\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f])\u200d/u.test(
      text,
    ),
  bidi: (text) => /[\u202a-\u202e\u2066-\u2069]/.test(text),
  // Letters of a plane that nothing shows, and the selectors beside them.
  tag_characters: (text) => /[\u{e0000}-\u{e0fff}]/u.test(text),
  ansi_escape: (text) => text.includes("\u001b") || text.includes("\u009b"),
  // Those of an escape are among them.
  control_characters: (text) => /[^\P{Cc}\t\n\r]/u.test(text),
  instructions: (text) =>
    /<\s*\/?\s*(important|system|instructions?|secret|hidden)\b[^>]*>/i.test(
      text,
    ),
};

/** Every text and key in it, however deep. */
function textsOf(value: unknown): string[] {
  const texts: string[] = [];
  const left = [value];
  while (left.length > 0) {
    const one = left.pop();
    if (typeof one === "string") texts.push(one);
    else if (Array.isArray(one)) left.push(...one);
    else if (typeof one === "object" && one !== null) {
      for (const [key, inner] of Object.entries(one)) left.push(key, inner);
    }
  }
  return texts;
}
