import { GatewayError } from "../../core/errors.ts";
import type { Listing } from "../../core/source.ts";
import type { App } from "../../core/tool.ts";
import { nameSafe } from "../../core/tool.ts";

/** An app that could not be listed, and of which nothing is known from before. */
export type Unlisted = {
  source: string;
  app: Pick<App, "ref" | "key">;
  error: GatewayError | undefined;
};

/** Those of an answer of one source, `known` being the apps that have something in the catalogue all the same. */
export function unlistedOf(
  source: string,
  failed: Listing["failed"],
  known: ReadonlySet<string>,
): Unlisted[] {
  return failed
    .filter(({ appRef }) => !known.has(appRef))
    .map(({ appRef, appKey, error }) => ({
      source,
      app: { ref: appRef, key: appKey },
      error,
    }));
}

/**
 * The one that something unknown may be of, or null; without a `name` any may be. Names are not parsed to find what they
 * name: this only tells somebody who asks for `{app}_…` why it is not known.
 */
export function suspect(
  unlisted: readonly Unlisted[],
  name: string | null,
): Unlisted | null {
  const fold = (text: string) => text.replaceAll("-", "_");
  const couldBe = ({ app }: Unlisted) =>
    name === null || fold(name).startsWith(fold(`${nameSafe(app.key)}_`));
  return unlisted.find(couldBe) ?? null;
}

/** `what` is not known, because its app could not be asked. */
export function unlistedError(
  what: string,
  { app, error }: Unlisted,
): GatewayError {
  const why = error?.message ?? `${app.key} could not be listed at present.`;
  return new GatewayError(
    error?.code === "timeout" ? "timeout" : "upstream_failed",
    `${what} is not known: ${why}`,
    {
      cause: error,
      data: { failureClass: "transport", ...error?.data },
      ...(error?.retryAfterMs === undefined
        ? {}
        : { retryAfterMs: error.retryAfterMs }),
    },
  );
}
