import { describeError } from "../../core/errors.ts";
import type { Log, Vault } from "../../core/runtime.ts";
import type { Icon, Upstream, UpstreamStore } from "../../core/upstream.ts";

/** Icons of registered servers. They are fetched when a server is registered or connected, and never because somebody looks. */
export type UpstreamIcons = {
  /** What opens the icon, for whoever was shown it; another one for another icon. */
  token(upstream: Pick<Upstream, "uuid">, etag: string | null): string;
  /** The icon, or the neutral one. Null when there is no such server, or the token is not for what it shows now. */
  find(workspace: string, id: number, token: string): ShownIcon | null;
  /** Looks for it in the background. */
  refresh(upstream: Upstream): void;
};

export type ShownIcon = Pick<Icon, "type" | "etag"> & {
  bytes: Uint8Array;
};

/** For servers that have none, or none that can be shown. */
const neutral: ShownIcon = {
  type: "image/svg+xml",
  etag: "neutral-1",
  bytes: new TextEncoder().encode(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#8a94a6"/><g fill="none" stroke="#fff" stroke-width="2"><rect x="8" y="8" width="16" height="7" rx="2"/><rect x="8" y="17" width="16" height="7" rx="2"/></g><g fill="#fff"><circle cx="12" cy="11.500" r="1.200"/><circle cx="12" cy="20.500" r="1.200"/></g></svg>',
  ),
};

export function createUpstreamIcons(options: {
  store: Pick<UpstreamStore, "find" | "icon" | "saveIcon">;
  vault: Pick<Vault, "mac">;
  /** Fetches and checks the icon of a server; null when it has none that can be shown. */
  findIcon: (upstream: Upstream) => Promise<Icon | null>;
  log: Log;
}): UpstreamIcons {
  const { store, vault, findIcon, log } = options;
  const token: UpstreamIcons["token"] = ({ uuid }, etag) =>
    vault.mac("icon", `${uuid} ${etag ?? neutral.etag}`);

  async function look(upstream: Upstream): Promise<void> {
    const icon = await findIcon(upstream);
    const now = store.find(upstream.workspace, upstream.id);
    if (now?.url === upstream.url) await store.saveIcon(upstream.id, icon);
  }

  return {
    token,
    find(workspace, id, given) {
      const upstream = store.find(workspace, id);
      const icon = upstream && store.icon(id);
      const expected = token(upstream ?? { uuid: "none" }, icon?.etag ?? null);
      // Compared in any case, so that nobody can time which servers there are.
      const right = equal(given, expected);
      return right && upstream ? (icon ?? neutral) : null;
    },
    refresh(upstream) {
      if (upstream.transport === "stdio") return;
      look(upstream).catch((error: unknown) =>
        log.debug("icon not found", {
          server: upstream.slug,
          workspace: upstream.workspace,
          reason: describeError(error),
        }),
      );
    },
  };
}

/** In a time that says nothing of where they differ. */
function equal(a: string, b: string): boolean {
  const { timingSafeEqual } = process.getBuiltinModule("node:crypto");
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}
