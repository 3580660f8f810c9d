import type { Identity } from "../../core/principal.ts";
import type { View } from "../../core/session.ts";
import type { Source } from "../../core/source.ts";

/**
 * What is to be said on how to use what a view shows: first `ours`, then one section of each app that says something;
 * or all that the one server says. Null for nothing. Asks nobody.
 */
export type Guide = (
  who: Identity,
  view: View,
  ours: string | null,
) => string | null;

/** Each client shows it to its model in every conversation. */
const MAX_SECTION = 2000;
const MAX_GUIDE = 16_000;

export function createGuide(sources: readonly Source[]): Guide {
  return (who, view, ours) => {
    const sections =
      view.server === null
        ? ofApps(who, view.apps)
        : ofServer(who, view.server);
    let guide = ours ?? "";
    for (const section of sections) {
      const whole = guide === "" ? section : `${guide}\n\n${section}`;
      if (whole.length <= MAX_GUIDE) guide = whole;
      // Of the only server as much as there is room for; of many, half a section is worth less than another.
      else if (view.server !== null) guide = cut(whole, MAX_GUIDE);
    }
    return guide === "" ? null : guide;
  };

  function ofApps(who: Identity, apps: View["apps"]): string[] {
    return sources
      .flatMap((source) => source.instructions?.(who) ?? [])
      .filter(({ app }) => !apps || apps.includes(app.key))
      .map(({ app, text }) => ({ app, text: text.trim() }))
      .filter(({ text }) => text !== "")
      .map(({ app, text }) => {
        const name = app.name.replace(/\s+/g, " ");
        return `## ${name} (${app.key})\n${cut(text, MAX_SECTION)}`;
      });
  }

  function ofServer(who: Identity, server: string): string[] {
    for (const source of sources) {
      const alone = source.alone?.(who, server);
      if (!alone) continue;
      const said = source.instructions?.(who) ?? [];
      return said
        .filter(({ app, text }) => app.ref === alone.ref && text.trim() !== "")
        .map(({ text }) => text.trim());
    }
    return [];
  }
}

/** The beginning of a text, without half a character at its end. */
function cut(text: string, max: number): string {
  if (text.length <= max) return text;
  return `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}
