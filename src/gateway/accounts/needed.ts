import { GatewayError } from "../../core/errors.ts";
import type { Upstream } from "../../core/upstream.ts";

const messages = {
  mcp_auth_required: "Connect your account to use this server",
  mcp_auth_expired: "Your access to this server has ended; connect again",
};

/** What a member has to do before a server serves them, also as data: `needs_authorization`. */
export function neededError(
  { id: serverId, name, authType, appUuid }: Upstream,
  code: keyof typeof messages,
  /** Where it is done, by OAuth. */
  authorizeUrl: () => string,
  message = messages[code],
): GatewayError {
  return new GatewayError("needs_authorization", `${name}: ${message}.`, {
    data: {
      code,
      message,
      authType,
      serverId,
      ...(authType === "oauth"
        ? { authorizeUrl: authorizeUrl() }
        : authType === "direct_auth"
          ? { appUuid }
          : {}),
    },
  });
}
