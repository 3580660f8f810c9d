/** An error's JSON body as Membrane sends it. */
export type WireErrorBody = {
  message: string;
  type?: string;
  key?: string;
  data?: unknown;
  causedByError?: WireErrorBody;
  logs?: unknown[];
  actionRunId?: string;
};

/**
 * An answer that is an error, as Membrane words it. It is not a `GatewayError`: it belongs to
 * the service that is imitated here, and reaches the product over HTTP only. A string as the
 * body is sent as it is, for what proxies in front of Membrane answer.
 */
export class WireError extends Error {
  readonly status: number;
  readonly body: WireErrorBody | string;
  readonly headers: Record<string, string>;

  constructor(
    status: number,
    body: WireErrorBody | string,
    headers: Record<string, string> = {},
  ) {
    super(typeof body === "string" ? `HTTP ${status}` : body.message);
    this.name = "WireError";
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** 400 without a key: the request can never work as sent. */
export function badRequest(message: string, data?: unknown): WireError {
  return new WireError(400, {
    type: "bad_request",
    message,
    ...(data === undefined ? {} : { data }),
  });
}

/** 400 for input that fails a schema; the first issue is in the message, all are in `data.issues`. */
export function validationError(
  issues: readonly { path: readonly PropertyKey[]; message: string }[],
): WireError {
  const shown = issues.map((issue) => ({
    path: issue.path.map((part) =>
      typeof part === "symbol" ? String(part) : part,
    ),
    message: issue.message,
  }));
  const first = shown[0];
  const where = first === undefined ? "" : first.path.join(".");
  const text =
    first === undefined
      ? "invalid input"
      : first.message === "Required" && where !== ""
        ? `"${where}" is required`
        : where === ""
          ? first.message
          : `"${where}": ${first.message}`;
  return badRequest(`Validation error: ${text}`, { issues: shown });
}

/** 401: no token, or one that does not verify. The reason is not told. */
export function notAuthenticated(message = "Not authenticated"): WireError {
  return new WireError(401, {
    type: "bad_request",
    key: "not_authenticated",
    message,
  });
}

/** 403: verified, but not allowed. */
export function accessDenied(message: string): WireError {
  return new WireError(403, {
    type: "bad_request",
    key: "access_denied",
    message,
  });
}

/** 404: unknown, or another tenant's. */
export function notFound(what: string): WireError {
  return new WireError(404, {
    type: "bad_request",
    key: "not_found",
    message: `${what} not found`,
  });
}

/** 400 for a connection that has to be made again before anything runs on it. */
export function connectionIsDefunct(name: string): WireError {
  return new WireError(400, {
    type: "connection",
    key: "connection_is_defunct",
    message: `Connection "${name}" is disconnected. Reconnect it to run actions.`,
  });
}

/** A JSON answer with Membrane's content type. */
export function jsonResponse(
  body: unknown,
  status = 200,
  headers: Record<string, string> = {},
): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
  });
}

/** The answer an error is. Anything but a WireError is 500 `internal`, its text kept back. */
export function errorResponse(thrown: unknown): Response {
  if (!(thrown instanceof WireError)) {
    return jsonResponse({ type: "internal", message: "Internal error" }, 500);
  }
  if (typeof thrown.body === "string") {
    return new Response(thrown.body, {
      status: thrown.status,
      headers: thrown.headers,
    });
  }
  return jsonResponse(thrown.body, thrown.status, thrown.headers);
}
