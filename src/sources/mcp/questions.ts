import type { InputRequired } from "../../core/source.ts";
import type { Params } from "./rpc.ts";

/** What servers ask of the caller's user, model or host. */

const capabilityOf: Record<string, string> = {
  "elicitation/create": "elicitation",
  "sampling/createMessage": "sampling",
  "roots/list": "roots",
};

/** Whether a client that has declared this can be asked that. */
export function askable(
  { method, params }: { method: string; params?: Params },
  capabilities: Record<string, unknown>,
): boolean {
  const name = capabilityOf[method];
  const declared = name === undefined ? undefined : capabilities[name];
  if (!isRecord(declared)) return false;
  if (method === "sampling/createMessage") {
    return params?.["tools"] === undefined || isRecord(declared["tools"]);
  }
  if (method !== "elicitation/create") return true;
  // Without any mode, a client means forms.
  return params?.["mode"] === "url"
    ? isRecord(declared["url"])
    : Object.keys(declared).length === 0 || isRecord(declared["form"]);
}

/** What must not be put before a user: an address that is none of the web. Null when nothing is wrong. */
export function safeRequest({
  method,
  params,
}: {
  method: string;
  params?: Params;
}): string | null {
  return method === "elicitation/create" && params?.["mode"] === "url"
    ? unsafeUrl(params["url"])
    : null;
}

/** The same for all that a server of the stateless era asks at once. */
export function safeQuestions({ inputRequests }: InputRequired): string | null {
  for (const request of Object.values(inputRequests ?? {})) {
    const fault = isRecord(request) ? safeRequest(request) : "no request";
    if (fault !== null) return fault;
  }
  return null;
}

/** The addresses in the data of `URL elicitation required` (-32042). */
export function safeElicitations(data: unknown): string | null {
  const { elicitations } = isRecord(data) ? data : { elicitations: [] };
  if (!Array.isArray(elicitations)) return "no list of elicitations";
  for (const one of elicitations) {
    const fault = unsafeUrl(isRecord(one) ? one["url"] : undefined);
    if (fault !== null) return fault;
  }
  return null;
}

function unsafeUrl(url: unknown): string | null {
  const parsed = typeof url === "string" ? URL.parse(url) : null;
  return parsed &&
    /^https?:$/.test(parsed.protocol) &&
    !parsed.username &&
    !parsed.password
    ? null
    : "The URL of an elicitation must be an http(s) URL without credentials.";
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
