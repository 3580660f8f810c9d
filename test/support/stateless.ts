import {
  Client,
  StreamableHTTPClientTransport,
} from "@modelcontextprotocol/client";

/** Revision 2026-07-28, by hand and with the official client. */

export const VERSION = "2026-07-28";
export const PREFIX = "io.modelcontextprotocol/";

export type Params = Record<string, unknown>;

export function request(method: string, params: Params = {}, id: unknown = 1) {
  const { _meta, ...rest } = params;
  return {
    jsonrpc: "2.0",
    id,
    method,
    params: {
      ...rest,
      _meta: {
        [`${PREFIX}protocolVersion`]: VERSION,
        [`${PREFIX}clientInfo`]: { name: "test", version: "1" },
        [`${PREFIX}clientCapabilities`]: {},
        ...(_meta as object | undefined),
      },
    },
  };
}

export const headersFor = (method: string, name?: string) => ({
  "mcp-protocol-version": VERSION,
  "mcp-method": method,
  ...(name === undefined ? {} : { "mcp-name": name }),
});

/** The official client of the newer kind; `auto` finds out which era the server speaks. */
export async function connectModern(
  url: string,
  token: string,
  options: {
    mode?: "legacy" | "auto" | { pin: string };
    headers?: Record<string, string>;
  } = {},
): Promise<Client> {
  const client = new Client(
    { name: "modern", version: "1.0.0" },
    { versionNegotiation: { mode: options.mode ?? { pin: VERSION } } },
  );
  await client.connect(
    new StreamableHTTPClientTransport(new URL(url), {
      requestInit: {
        headers: { authorization: `Bearer ${token}`, ...options.headers },
      },
    }),
  );
  return client;
}
