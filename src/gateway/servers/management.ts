import type { CallJournal } from "../events/execution.ts";
import type {
  Clock,
  Ids,
  Log,
  OutboundCheck,
  Vault,
} from "../../core/runtime.ts";
import type {
  Icon,
  Upstream,
  UpstreamConnector,
  UpstreamOAuth,
  UpstreamStore,
} from "../../core/upstream.ts";
import type { Admission } from "../limits/admission.ts";
import type { PlainCalls } from "../plain-calls.ts";
import { createPlainCalls } from "../plain-calls.ts";
import { createReaches } from "../limits/reaches.ts";
import type { Toolbox } from "../catalog/toolbox.ts";
import type { UpstreamContents } from "./upstream-contents.ts";
import { createUpstreamContents } from "./upstream-contents.ts";
import type { UpstreamIcons } from "./upstream-icons.ts";
import { createUpstreamIcons } from "./upstream-icons.ts";
import type { UpstreamRegistry } from "./upstream-registry.ts";
import { createUpstreamRegistry } from "./upstream-registry.ts";
import type { UpstreamSwitch } from "./upstream-switch.ts";
import { createUpstreamSwitch } from "./upstream-switch.ts";
import type { Upstreams } from "./upstreams.ts";
import { createUpstreams } from "./upstreams.ts";

/** Everything that is done with registered servers beside using them through MCP. */
export type Management = {
  upstreams: Upstreams;
  registry: UpstreamRegistry;
  switching: UpstreamSwitch;
  contents: UpstreamContents;
  icons: UpstreamIcons;
  calls: PlainCalls;
};

export type ManagementOptions = {
  store: UpstreamStore;
  connector: UpstreamConnector;
  oauth: UpstreamOAuth;
  vault: Vault;
  check: OutboundCheck;
  /** Fetches and checks the icon of a server; null when it has none that can be shown. */
  findIcon: (upstream: Upstream) => Promise<Icon | null>;
  toolbox: Toolbox;
  journal: CallJournal;
  admission: Pick<Admission, "enter">;
  clock: Clock;
  ids: Ids;
  log: Log;
};

export function createManagement(options: ManagementOptions): Management {
  const icons = createUpstreamIcons(options);
  const upstreams = createUpstreams({ ...options, icons });
  const reaches = createReaches(options.clock);
  const parts = { ...options, icons, upstreams, reaches };
  const contents = createUpstreamContents(parts);
  return {
    upstreams,
    registry: createUpstreamRegistry(parts),
    switching: createUpstreamSwitch(parts),
    contents,
    icons,
    calls: createPlainCalls({ ...parts, contents }),
  };
}
