import { describeError } from "../../core/errors.ts";
import type { Log, Vault } from "../../core/runtime.ts";
import type { SealedStore } from "../../core/sealed.ts";

/**
 * After a change of keys: seals anew, with the newest key, all that an older one has sealed, while everything else
 * goes on. What was damaged or swapped stays as it is, and is logged. Does nothing when nothing is to be done.
 */
export function createResealing(wiring: {
  sealed: SealedStore;
  vault: Vault & { makeCheck(): string };
  log: Log;
}): (goOn: () => boolean) => Promise<void> {
  const { sealed, vault, log } = wiring;
  return async (goOn) => {
    const check = sealed.keyCheck();
    if (check === null || !vault.outdated(check)) return;
    const unreadable = new Set<string>();
    try {
      const changed = await sealed.resealAll(
        (text, context) => {
          if (!vault.outdated(text)) return null;
          try {
            return vault.seal(vault.open(text, context), context);
          } catch (error) {
            const where = JSON.stringify(context);
            if (!unreadable.has(where)) {
              unreadable.add(where);
              log.error("a stored secret cannot be read", {
                where,
                reason: describeError(error),
              });
            }
            return null;
          }
        },
        vault.makeCheck(),
        goOn,
      );
      log.info("secrets sealed with the new key", { changed });
    } catch (error) {
      log.error("sealing with the new key failed", {
        reason: describeError(error),
      });
    }
  };
}
