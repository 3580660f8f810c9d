/**
 * What the specifications and the documents that this product comes from demand of it, as far as a test can show it.
 * A test cites what it shows in a comment, `// Demanded: id, id`; `requirements.test.ts` fails for what no test cites.
 */
export const requirements: Record<string, { text: string; source: string }> = {
  "initialize-negotiates": {
    text: "initialize answers with the client's revision when it is spoken, else with the newest one",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#version-negotiation",
  },
  "session-id-assigned": {
    text: "A session has an id that the server chose, at random",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management",
  },
  "session-unknown-404": {
    text: "A request with an unknown session id is 404",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management",
  },
  "session-required-400": {
    text: "A request that needs a session and names none is 400",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management",
  },
  "session-delete": {
    text: "DELETE ends a session",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management",
  },
  "session-not-a-credential": {
    text: "A session id is no authentication",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices#session-hijacking",
  },
  "post-202": {
    text: "A notification or response is answered with 202 and no body",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#sending-messages-to-the-server",
  },
  "protocol-version-header": {
    text: "An unsupported MCP-Protocol-Version is 400",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#protocol-version-header",
  },
  "stream-primed": {
    text: "A stream begins with an event id and empty data",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#sending-messages-to-the-server",
  },
  "stream-resumes": {
    text: "Last-Event-ID replays what came after it on that stream",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#resumability-and-redelivery",
  },
  "stream-of-others": {
    text: "A replay never holds messages of another stream",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#resumability-and-redelivery",
  },
  "disconnect-is-no-cancel": {
    text: "With a session, a cut connection does not cancel",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#sending-messages-to-the-server",
  },
  retry: {
    text: "A server that closes a stream says when to reconnect",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#sending-messages-to-the-server",
  },
  "batches-one-revision": {
    text: "Batches exist in 2025-03-26 only",
    source:
      "https://modelcontextprotocol.io/specification/2025-06-18/changelog",
  },
  "http-sse": {
    text: "HTTP+SSE of 2024-11-05 is served beside the newer transport",
    source:
      "https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse",
  },
  origin: {
    text: "An Origin that is not allowed is 403",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning",
  },
  cancel: {
    text: "notifications/cancelled stops the request, and nothing more is said of it",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/cancellation",
  },
  "progress-rises": {
    text: "Progress rises, and stops with the answer",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/progress",
  },
  ping: {
    text: "ping is answered",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/ping",
  },
  "tool-errors": {
    text: "A tool that fails is a result with isError",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/tools#error-handling",
  },
  "unknown-tool": {
    text: "An unknown tool is a protocol error",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/tools#error-handling",
  },
  "tools-paged": {
    text: "tools/list comes in pages of opaque cursors",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/utilities/pagination",
  },
  "tools-list-changed": {
    text: "A change of the list of tools is told",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/tools#list-changed-notification",
  },
  "tool-names": {
    text: "Names have at most 64 characters that every client takes",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-names",
  },
  "schemas-whole": {
    text: "Input schemas reach the client as they are",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic#json-schema-usage",
  },
  prompts: {
    text: "Prompts are listed and got",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/prompts",
  },
  resources: {
    text: "Resources and templates are listed and read",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/resources",
  },
  "resource-unknown": {
    text: "An unknown resource is -32602 with its URI",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/server/resources#error-handling",
  },
  "resource-updates": {
    text: "A subscribed resource that changes is told",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/resources#subscriptions",
  },
  completion: {
    text: "Arguments are completed",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/utilities/completion",
  },
  logging: {
    text: "Messages come at the level that was set, or above",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/utilities/logging",
  },
  elicitation: {
    text: "The user is asked through the client",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation",
  },
  sampling: {
    text: "The model is asked through the client",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/client/sampling",
  },
  roots: {
    text: "The roots are asked of the client",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/client/roots",
  },
  "capabilities-respected": {
    text: "Nothing is asked of a client that it has not declared",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#capability-negotiation",
  },
  "www-authenticate": {
    text: "401 names the metadata of the resource",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization#protected-resource-metadata-discovery-requirements",
  },
  "token-audience": {
    text: "A token of another workspace is refused",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization#token-handling",
  },
  "both-eras": {
    text: "Sessions and stateless callers share one URL",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning#backward-compatibility-with-initialization-based-versions",
  },
  discover: {
    text: "server/discover says versions, capabilities and who answers",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/server/discover",
  },
  "meta-required": {
    text: "A request without its _meta is -32602 and 400",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic#general-fields",
  },
  "header-mismatch": {
    text: "Headers that differ from the body are -32020 and 400",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#server-validation",
  },
  "unsupported-version": {
    text: "An unsupported version is -32022 with those supported",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning#protocol-version-negotiation",
  },
  "method-404": {
    text: "An unknown method is -32601 and 404",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#protocol-version-header",
  },
  "no-get": {
    text: "GET and DELETE are 405",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#earlier-streamable-http-revisions",
  },
  "name-base64": {
    text: "Mcp-Name may be in Base64",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#value-encoding",
  },
  "param-headers": {
    text: "Mcp-Param headers agree with the arguments",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#server-behavior-for-custom-headers",
  },
  "result-type": {
    text: "Every result says its type",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic#resulttype",
  },
  caching: {
    text: "Lists say for how long they are good, and for whom",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/caching",
  },
  "close-cancels": {
    text: "Closing the connection of a stateless request cancels it",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/cancellation",
  },
  "listen-acknowledged": {
    text: "subscriptions/listen is acknowledged first, with what will be told",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions#acknowledgment",
  },
  "listen-filtered": {
    text: "Nothing is told that was not asked for",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions#opening-a-stream",
  },
  "listen-graceful": {
    text: "A subscription that the server ends is answered",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions#graceful-closure",
  },
  "list-stateless": {
    text: "A list does not depend on earlier requests",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/server/tools#capabilities",
  },
  "input-required": {
    text: "Questions to the caller are a result, and its answers a new request",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr",
  },
  "request-state": {
    text: "requestState is bound to caller, request and time, and cannot be changed",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr#server-requirements-basic-workflow",
  },
  "missing-capability": {
    text: "A capability that is missing is -32021 and 400, and named",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic#general-fields",
  },
  "log-level": {
    text: "Messages come only to a request that names a level",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/logging",
  },
  "static-default": {
    text: "Without a mode, all tools of all connected apps are shown",
    source: "https://github.com/integration-app/mcp-server#static-mode",
  },
  dynamic: {
    text: "Dynamic mode shows enable-tools alone, and then what it enabled",
    source: "https://github.com/integration-app/mcp-server#dynamic-mode",
  },
  hyphens: {
    text: "enable-tools takes names with - for _",
    source: "https://github.com/integration-app/mcp-server#dynamic-mode",
  },
  apps: {
    text: "apps= shows the tools of these apps only",
    source: "https://github.com/integration-app/mcp-server#apps",
  },
  "token-places": {
    text: "A token is taken from the Authorization header or the query",
    source: "https://github.com/integration-app/mcp-server#authentication",
  },
  chats: {
    text: "x-chat-id continues the session of a chat",
    source: "https://github.com/integration-app/mcp-server#chat-sessions",
  },
  "chats-listed": {
    text: "GET /mcp/sessions names the caller's chats and their sessions",
    source: "https://github.com/integration-app/mcp-server#chat-sessions",
  },
  restart: {
    text: "Sessions, chats, enabled tools and events outlive kill -9",
    source: "README.md#what-survives-what",
  },
  "eras-share-chats": {
    text: "A chat goes on in the other era",
    source: "README.md#what-survives-what",
  },
  "never-twice": {
    text: "A call is sent to Membrane once",
    source: "README.md#what-survives-what",
  },
  search: {
    text: "Mode search finds and runs what the caller has, and nothing else",
    source: "README.md#what-the-url-can-say",
  },
  auto: {
    text: "Mode auto is static up to a number of tools",
    source: "README.md#what-the-url-can-say",
  },
  "names-stay": {
    text: "A name once given stays",
    source: "README.md#what-the-url-can-say",
  },
  "gone-tool-said": {
    text: "A tool that was enabled and has gone is said to be",
    source: "README.md#what-the-url-can-say",
  },
};
