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
  "servers-registered": {
    text: "A registered server is off and to be connected, and is shown without any secret",
    source: "README.md#registered-servers",
  },
  "servers-states": {
    text: "Whatever happens to a server leads to one of the documented states",
    source: "README.md#registered-servers",
  },
  "servers-authorize-first": {
    text: "Who must authorize first is told so with 409 or 403 and a link of ours",
    source: "README.md#registered-servers",
  },
  "servers-tested": {
    text: "A test is answered with how it went, and changes the server for who may change it only",
    source: "README.md#registered-servers",
  },
  "servers-by-name": {
    text: "A server is registered by its name, which is given once, and called by it",
    source: "README.md#registered-servers",
  },
  "servers-removed": {
    text: "What is removed takes credentials and grants with it",
    source: "README.md#registered-servers",
  },
  "servers-scopes": {
    text: "Every route asks for its scope",
    source: "README.md#registered-servers",
  },
  "servers-foreign": {
    text: "Another workspace's servers are not there, by any route",
    source:
      "https://owasp.org/API-Security/editions/2023/en/0xa1-broken-object-level-authorization/",
  },
  "servers-strict": {
    text: "Members of a body that are not known are refused",
    source:
      "https://owasp.org/API-Security/editions/2023/en/0xa3-broken-object-property-level-authorization/",
  },
  "servers-sorted": {
    text: "A list is sorted by what it says it can be, and by nothing else",
    source: "README.md#registered-servers",
  },
  "servers-ids": {
    text: "An id that is none is refused before it is looked up",
    source: "README.md#registered-servers",
  },
  "servers-racing": {
    text: "Administrators who change a server at once do not overwrite each other",
    source: "https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1",
  },
  "servers-headers-no-power": {
    text: "No header says who calls, but the credential",
    source: "README.md#registered-servers",
  },
  "servers-limited": {
    text: "What has us connect to an address that somebody typed is bounded for each member",
    source: "README.md#registered-servers",
  },
  "servers-urls-redacted": {
    text: "Who may not change a server does not see the values in its URL, and no log has them",
    source: "README.md#registered-servers",
  },
  "secrets-not-moved": {
    text: "A stored secret is sent to the origin that it was given for only",
    source: "README.md#registered-servers",
  },
  "servers-in-catalogue": {
    text: "What a server has is passed on whole, whatever revisions the two sides speak",
    source: "README.md#registered-servers",
  },
  "servers-names-apart": {
    text: "Tools of the same name of two servers, and of ours, have names of their own",
    source: "README.md#registered-servers",
  },
  "servers-alone": {
    text: "/mcp/{slug} shows one server under its own names",
    source: "README.md#registered-servers",
  },
  "servers-stdio": {
    text: "A program is a server too, and is gone when we are, whatever ends us",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#stdio",
  },
  "servers-federated": {
    text: "A request that comes back to a gateway that it came through is refused",
    source: "README.md#registered-servers",
  },
  "servers-down": {
    text: "A server that is down takes nobody else's tools away, is asked now and then, and is said to be down",
    source: "README.md#registered-servers",
  },
  "servers-foreign-protocol-errors": {
    text: "Errors of a server about our own request are its failure, and no fault of the caller's",
    source:
      "https://modelcontextprotocol.io/specification/2026-07-28/basic#error-codes",
  },
  "servers-misbehave": {
    text: "A server that lies, floods or hangs harms only those who call it",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/server/tools#security-considerations",
  },
  "servers-lists-end": {
    text: "Lists of a server have an end",
    source: "README.md#registered-servers",
  },
  "servers-pinned": {
    text: "Of a pinned server a tool that has changed is not called before somebody approves it",
    source: "README.md#registered-servers",
  },
  "servers-suspicious": {
    text: "Hidden text in a definition is told, and passed on as it is",
    source: "README.md#registered-servers",
  },
  "servers-links-not-followed": {
    text: "Nothing that a server links to is followed",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices#server-side-request-forgery-ssrf",
  },
  "servers-no-passthrough": {
    text: "Nothing that the caller's request carries reaches a server",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices#token-passthrough",
  },
  "servers-members-apart": {
    text: "No member's call carries another's credential",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices#confused-deputy-problem",
  },
  "oauth-state": {
    text: "The way back takes a state once, for ten minutes, in the browser that began it",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices#confused-deputy-problem",
  },
  "oauth-pkce": {
    text: "An authorization is asked for with PKCE (S256), and not at all where that is not supported",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization#authorization-code-protection",
  },
  "oauth-resource": {
    text: "Authorization, token and refresh requests name the resource",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization#resource-parameter-implementation",
  },
  "oauth-issuer": {
    text: "An issuer that is not the one that was asked is refused",
    source: "https://www.rfc-editor.org/rfc/rfc9207#section-2.4",
  },
  "oauth-metadata-place": {
    text: "Metadata is looked for on the server's own origin, or in its well-known places",
    source: "https://www.rfc-editor.org/rfc/rfc9728#section-7.7",
  },
  "oauth-one-refresh": {
    text: "A refresh token is used by one request at a time, and a refusal expires that member's credential only",
    source: "https://www.rfc-editor.org/rfc/rfc9700#section-4.14",
  },
  "oauth-refresh-crash": {
    text: "A refresh that kill -9 has cut off is tried once more; then the credential works, or says that it has expired",
    source: "README.md#what-survives-what",
  },
  "oauth-no-open-redirect": {
    text: "The way back leads nowhere else",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization#open-redirection",
  },
  "oauth-step-up": {
    text: "More scopes are asked for three times in all",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization#step-up-authorization-flow",
  },
  "oauth-client-document": {
    text: "Our client metadata names itself and our redirect URIs",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization#client-id-metadata-documents",
  },
  "oauth-token-answer": {
    text: "A token answer that makes no sense is not stored",
    source: "https://www.rfc-editor.org/rfc/rfc6749#section-5.1",
  },
  "oauth-own-grant": {
    text: "No member gets anything by another's consent",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices#confused-deputy-problem",
  },
  "oauth-nothing-shown": {
    text: "No token, secret, code or verifier is in a file, the log or a page",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization#token-theft",
  },
  "vault-sealed": {
    text: "What is sealed is in no file in clear, and neither is the key",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization#token-theft",
  },
  "vault-bound": {
    text: "What was sealed for one row opens in no other",
    source: "https://csrc.nist.gov/pubs/sp/800/38/d/final",
  },
  "vault-key-changed": {
    text: "A wrong key stops the start and changes nothing; a new one takes over while it serves",
    source: "README.md#operating-it",
  },
  "vault-key-private": {
    text: "The key file is its owner's alone",
    source: "README.md#configuration",
  },
  "outbound-public": {
    text: "Only public addresses are connected to, however they are written",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices#server-side-request-forgery-ssrf",
  },
  "outbound-rebinding": {
    text: "What was checked is what is connected to",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices#server-side-request-forgery-ssrf",
  },
  "outbound-redirects": {
    text: "A redirect leads to no other origin, and takes no credential along",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic/security_best_practices#server-side-request-forgery-ssrf",
  },
  "icons-token": {
    text: "An icon is shown to who has its token; all else is the same 404, and not for ever",
    source: "README.md#registered-servers",
  },
  "icons-not-fetched": {
    text: "Nobody is asked for an icon because somebody looks",
    source: "README.md#registered-servers",
  },
  "icons-pictures": {
    text: "Only a picture by its bytes, of a bounded size, is an icon",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic#icons",
  },
  "icons-without-credentials": {
    text: "An icon is asked for without anything that belongs to a user",
    source:
      "https://modelcontextprotocol.io/specification/2025-11-25/basic#icons",
  },
  "keys-end-with-maker": {
    text: "A key that is made with a key has at most its scope and time, and is revoked with it",
    source: "README.md#api-keys",
  },
  "keys-revoked-at-once": {
    text: "A key that is revoked is refused from the next request on, a ticket that it opened too",
    source: "README.md#api-keys",
  },
  "cli-servers": {
    text: "Servers are managed on the command line, on the database, beside a server and over one",
    source: "README.md#mcp-servers",
  },
  "cli-import": {
    text: "What a client's file names is taken over as far as it can be",
    source: "README.md#mcp-servers",
  },
  "cli-login": {
    text: "A login on the command line prints a link, and waits until it was followed",
    source: "README.md#mcp-servers",
  },
  "vault-key-strong": {
    text: "A key that is not 32 random bytes is refused",
    source: "README.md#configuration",
  },
  "outbound-bounded": {
    text: "An answer that is too large once it is unpacked is cut off",
    source: "README.md#registered-servers",
  },
  "secrets-nowhere": {
    text: "No secret is in logs, metrics, traces, the database, events, webhooks, or what others are answered; every test looks for those that it uses",
    source: "README.md#operating-it",
  },
  "journal-with-cause": {
    text: "What happens and its entry in the journal are written together, or neither is",
    source: "README.md#events",
  },
  "journal-append-only": {
    text: "Nobody changes or removes an entry, not even by SQL",
    source: "README.md#events",
  },
  "journal-asked-for": {
    text: "Whoever has something sent again, changed or switched is on record, with the credential and the request",
    source: "README.md#events",
  },
  audit: {
    text: "The audit has pages and filters, is exported as NDJSON, and shows nobody more than they may see",
    source: "README.md#events",
  },
  "events-own": {
    text: "GET /mcp/stream shows a caller their own events, and the workspace's to who may see them",
    source: "README.md#events",
  },
  "events-filtered": {
    text: "types= tells these types only",
    source: "README.md#events",
  },
  "events-resumed": {
    text: "An event stream goes on with exactly what was missed, over kill -9 too",
    source: "README.md#events",
  },
  "webhooks-signed": {
    text: "The bytes that are sent are signed, as Standard Webhooks has it and as the integration guide has it",
    source:
      "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme",
  },
  "webhooks-repeated": {
    text: "Every attempt has the same id, and a time and signature of its own",
    source:
      "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#webhook-headers-sending-metadata-to-consumers",
  },
  "webhooks-rotated": {
    text: "While a secret changes, both sign",
    source:
      "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme",
  },
  "webhooks-destinations": {
    text: "Webhooks go to public addresses only, looked at for every attempt, and follow no redirect",
    source:
      "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#server-side-request-forgery-ssrf",
  },
  "webhooks-at-least-once": {
    text: "What has happened is delivered at least once and under one id, over kill -9",
    source: "README.md#webhooks",
  },
  "webhooks-schedule": {
    text: "Eight attempts by the schedule, each of bounded time; Retry-After puts one off, 410 turns the webhook off",
    source: "README.md#webhooks",
  },
  "webhooks-dead": {
    text: "What was given up is listed and sent again when somebody asks; five days of failing turn the webhook off",
    source: "README.md#webhooks",
  },
  "webhooks-bad-receivers": {
    text: "A receiver that hangs or answers without end costs nobody else anything",
    source: "README.md#webhooks",
  },
  "webhooks-own-workspace": {
    text: "A webhook is told of its own workspace, and of the types that it wants",
    source: "README.md#webhooks",
  },
  "webhooks-thin": {
    text: "Arguments and results are in no event unless the operator keeps them, and then without what looks like a secret",
    source: "README.md#webhooks",
  },
  "webhooks-seed": {
    text: "The simple form is the integration guide's, byte for byte",
    source: "README.md#webhooks",
  },
  "webhooks-received": {
    text: "A webhook that comes in is verified over its bytes, is of these minutes, and counts once",
    source: "README.md#webhooks",
  },
  "webhooks-connections": {
    text: "A connection that changes in Membrane is told to that member's clients at once",
    source: "README.md#webhooks",
  },
  "plain-json-rpc": {
    text: "One JSON-RPC request without a handshake, session or Accept gets one JSON answer",
    source: "README.md#the-api-to-read-and-to-try",
  },
  "plain-rest": {
    text: "A tool is called over REST",
    source: "README.md#the-api-to-read-and-to-try",
  },
  "plain-errors": {
    text: "-32000 is what may be tried again, and nothing else",
    source: "README.md#the-api-to-read-and-to-try",
  },
  "openapi-whole": {
    text: "The OpenAPI document has every route, and every answer is as it says",
    source: "https://spec.openapis.org/oas/v3.1.1.html",
  },
  "openapi-page": {
    text: "Its page works offline, under its own policy, in a real browser",
    source: "README.md#the-api-to-read-and-to-try",
  },
  "ws-plain": {
    text: "A WebSocket takes requests without initialize",
    source: "README.md#websocket",
  },
  "ws-session": {
    text: "With initialize it has a session, and what was missed comes once, over kill -9 too",
    source: "README.md#websocket",
  },
  "ws-both-ways": {
    text: "Everything that a server says or asks reaches the client of a WebSocket",
    source: "README.md#websocket",
  },
  "ws-verified": {
    text: "A WebSocket is opened by who may, from pages that may, and ends with its credential",
    source: "README.md#websocket",
  },
  "ws-back-pressure": {
    text: "Who does not read, or asks without end, is cut off and costs no memory",
    source: "README.md#websocket",
  },
  "ws-alive": {
    text: "A silent WebSocket is pinged, and stays",
    source: "README.md#websocket",
  },
  "ws-closings": {
    text: "A WebSocket that is closed says why, by a code",
    source: "README.md#websocket",
  },
  "limits-doors": {
    text: "Messages beyond a user's are 429 with Retry-After at every door, before anything is done",
    source: "README.md#limits",
  },
  "limits-fair": {
    text: "Who floods keeps nobody else out, of a server or of the whole",
    source: "README.md#limits",
  },
  "limits-calls": {
    text: "Calls of a user beyond so many at once wait, and beyond the queue are refused; others wait for none",
    source: "README.md#limits",
  },
  "limits-connections": {
    text: "More connections than there are files for end nothing",
    source: "README.md#limits",
  },
  "log-lines": {
    text: "A line of the log is one event, whatever callers put into names",
    source: "README.md#operating-it",
  },
  "request-id": {
    text: "A request has one id: in its answer, the log and the journal",
    source: "README.md#operating-it",
  },
  "metrics-names": {
    text: "Metrics tell of requests, durations, connections, sessions, events, fetches, servers, webhooks, sizes and the event loop, and README's panels show them",
    source: "README.md#metrics",
  },
  "metrics-labels": {
    text: "No label has a value that is not known beforehand",
    source: "README.md#metrics",
  },
  "metrics-private": {
    text: "Metrics are on a listener of their own, or for who has the token",
    source: "README.md#metrics",
  },
  "traces-through": {
    text: "A trace goes in by headers or _meta, and out to Membrane, servers and webhooks",
    source: "https://www.w3.org/TR/trace-context/",
  },
  "traces-exported": {
    text: "Spans go to the collector, and what is not one costs nobody anything",
    source: "README.md#operating-it",
  },
  recipes: {
    text: "The clients of the README work as they stand there",
    source: "README.md#recipes",
  },
  "journal-not-washed-out": {
    text: "What one member fills the journal with costs that member's own old entries, and nothing that administrators did",
    source: "README.md#events",
  },
  "journal-bytes-bounded": {
    text: "The journal is bounded in bytes as well as in entries",
    source: "README.md#events",
  },
  "journal-truth": {
    text: "Whoever goes with the journal is told of all that is left of it, in order, and whether anything is not",
    source: "README.md#events",
  },
  "workspace-sessions": {
    text: "Beyond the sessions that a workspace may have, those of whoever has most of them end, and nobody else's",
    source: "README.md#limits",
  },
  "replay-quota": {
    text: "What one user's events take is bounded over all of their sessions, and nobody else's are lost to them",
    source: "README.md#limits",
  },
  "storage-high-water": {
    text: "In a database that is nearly full, notifications are not stored any more, and answers are",
    source: "README.md#limits",
  },
  "storage-bounded": {
    text: "What is beyond the room there is is refused with 503, and taken again without a restart",
    source: "README.md#limits",
  },
};
