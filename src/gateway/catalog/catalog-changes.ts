import { LRUCache } from "lru-cache";
import { describeError } from "../../core/errors.ts";
import type { Journal } from "../../core/journal.ts";
import { BY_ITSELF, entryOf } from "../../core/journal.ts";
import type { Identity } from "../../core/principal.ts";
import { identityKey } from "../../core/principal.ts";
import type { Log } from "../../core/runtime.ts";
import { DEFAULT_VIEW } from "../../core/session.ts";
import type { Catalogs } from "./catalog.ts";
import type { Catalog } from "./contents.ts";
import { createPace } from "../limits/pace.ts";

/** Members whose last catalogue is remembered, by its digests. */
const MAX_KNOWN = 10_000;
/** Changes of one member's catalogue within this time are one. */
const PACE_MS = 1000;

/**
 * Has the journal say when what a member can use is not what it was, whoever has changed it. What was the case before
 * the first look of this process is not known, and therefore no change.
 */
export function noteCatalogChanges(wiring: {
  catalogs: Pick<Catalogs, "onLoad">;
  journal: Pick<Journal, "append">;
  log: Log;
}): void {
  const { catalogs, journal, log } = wiring;
  const known = new LRUCache<string, Digests>({ max: MAX_KNOWN });
  const pace = createPace(PACE_MS);

  function note({ workspace, subject }: Identity, now: Catalog): void {
    const key = identityKey({ workspace, subject });
    const [before, after] = [known.get(key), digestsOf(now)];
    known.set(key, after);
    if (!before) return;
    const changed = kinds.filter((kind) => before[kind] !== after[kind]);
    if (changed.length === 0) return;
    const data = { changed, tools: now.size };
    journal
      .append([
        entryOf({ workspace, subject }, "catalog_changed", data, BY_ITSELF),
      ])
      .catch((error: unknown) =>
        log.error("change of a catalogue could not be written down", {
          reason: describeError(error),
        }),
      );
  }

  catalogs.onLoad((who, catalog) => {
    const key = identityKey(who);
    // Nothing is told of the first, so it need not wait, nor others after it.
    if (known.has(key)) pace.run(key, () => note(who, catalog));
    else note(who, catalog);
  });
}

const kinds = ["tools", "prompts", "resources"] as const;
type Digests = Record<(typeof kinds)[number], string>;

function digestsOf(catalog: Catalog): Digests {
  const { digest: tools } = catalog.show(DEFAULT_VIEW);
  return { tools, ...catalog.select(DEFAULT_VIEW).digests };
}
