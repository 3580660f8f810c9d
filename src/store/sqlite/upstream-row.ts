import { sealContexts } from "../../core/sealed.ts";
import type { Upstream, UpstreamEdit } from "../../core/upstream.ts";
import type { Addresses } from "./addresses.ts";
import { UNREADABLE_URL } from "./addresses.ts";
import type { servers } from "./schema.ts";

export type UpstreamRow = typeof servers.$inferSelect;

/** Reads a row; an address that cannot be read leads nowhere. */
export function toUpstream(row: UpstreamRow, addresses: Addresses): Upstream {
  const { uuid, url, command } = row;
  return {
    ...row,
    url: addresses.open(url, sealContexts.serverUrl(uuid)) ?? UNREADABLE_URL,
    transport: row.transport as Upstream["transport"],
    authType: row.authType as Upstream["authType"],
    state: row.state as Upstream["state"],
    setupStep: row.setupStep as Upstream["setupStep"],
    command: parse(
      command && addresses.open(command, sealContexts.serverCommand(uuid)),
    ),
    oauth: parse(row.oauth),
    about: parse(row.about),
    lastError: parse(row.lastError),
  };
}

function parse<T>(json: string | null): T | null {
  return json === null ? null : (JSON.parse(json) as T);
}

/** The columns of what an edit says. */
export function toRow(edit: UpstreamEdit, uuid: string, addresses: Addresses) {
  const { url, command, oauth, about, lastError, ...plain } = edit;
  const json = <K extends string>(key: K, value: unknown) =>
    value === undefined ? {} : { [key]: value && JSON.stringify(value) };
  return {
    ...plain,
    ...(url === undefined
      ? {}
      : { url: addresses.seal(url, sealContexts.serverUrl(uuid)) }),
    ...(command === undefined
      ? {}
      : {
          command:
            command &&
            addresses.seal(
              JSON.stringify(command),
              sealContexts.serverCommand(uuid),
            ),
        }),
    ...json("oauth", oauth),
    ...json("about", about),
    ...json("lastError", lastError),
  };
}
