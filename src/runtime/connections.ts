import type { IncomingMessage } from "node:http";
import type { LookupFunction } from "node:net";
import { GatewayError } from "../core/errors.ts";
import type { Exchange } from "./answer.ts";
import type { Destination, Destinations } from "./destination.ts";
import { blocked, explained, failed } from "./outbound-errors.ts";

export type Question = {
  method: string;
  headers: Record<string, string>;
  body: string | undefined;
};

export type ConnectionSettings = {
  lookup?: (name: string) => Promise<readonly string[]>;
  ca?: string;
  connectMs?: number;
};

const CONNECT_MS = 10_000;
/** Many servers drop a silent connection after five seconds; what is sent just then is lost. */
const IDLE_MS = 4000;
/** How long each address has before the next is tried. */
const ADDRESS_MS = 1000;
const MAX_ADDRESSES = 8;
/** `100 Continue` and its like, before the answer itself. */
const MAX_INTERIM = 10;

/**
 * Sends one request over a connection to an address that was checked when the connection was made, and resolves with
 * the headers of the answer. By way of `node:http`, because there a connection is kept for the name it was made for,
 * never used for another one at the same address, and because a silent stream takes none of the 256 requests that
 * `fetch` has at a time. Rejects with a GatewayError, or with the reason for which the exchange was cut.
 */
export function createConnections(
  settings: ConnectionSettings,
  destinations: Destinations,
): (
  destination: Destination,
  question: Question,
  exchange: Exchange,
) => Promise<IncomingMessage> {
  const http = process.getBuiltinModule("node:http");
  const https = process.getBuiltinModule("node:https");
  const { isIP } = process.getBuiltinModule("node:net");
  const { ca, connectMs = CONNECT_MS } = settings;

  const pool = {
    keepAlive: true,
    timeout: IDLE_MS,
    scheduling: "lifo",
    autoSelectFamilyAttemptTimeout: ADDRESS_MS,
  } as const;
  const plain = new http.Agent(pool);
  // A connection that is kept was checked by the rule that it was made under.
  const allowed = new http.Agent(pool);
  const secure = new https.Agent({
    ...pool,
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
  });

  const resolve = createResolver(settings, destinations);

  const lookupOf =
    (destination: Destination): LookupFunction =>
    async (_name, options, callback) => {
      let addresses: string[];
      try {
        addresses = await resolve(destination);
      } catch (error) {
        return callback(error as Error, []);
      }
      const found = addresses.map((address) => ({
        address,
        family: isIP(address),
      }));
      if (options.all) return callback(null, found);
      const { address, family } = found[0]!;
      callback(null, address, family);
    };

  return async (destination, { method, headers, body }, { host, cut }) => {
    const { url } = destination;
    const isSecure = url.protocol === "https:";
    const { promise, resolve, reject } =
      Promise.withResolvers<IncomingMessage>();
    let request;
    try {
      request = (isSecure ? https : http).request({
        host: destination.host,
        port: url.port === "" ? (isSecure ? 443 : 80) : Number(url.port),
        path: `${url.pathname}${url.search}`,
        method,
        headers: {
          ...headers,
          host: url.host,
          ...(body === undefined
            ? {}
            : { "content-length": Buffer.byteLength(body) }),
        },
        agent: isSecure ? secure : destination.allowedOnly ? allowed : plain,
        lookup: lookupOf(destination),
        ...(isSecure && isIP(destination.host) === 0
          ? { servername: destination.host }
          : {}),
      });
    } catch (error) {
      throw explained(host, error);
    }

    const fail = (error: unknown) => {
      clearTimeout(connecting);
      reject(cut.aborted ? cut.reason : explained(host, error));
      request.destroy();
    };
    const connecting = setTimeout(
      () =>
        fail(
          new GatewayError(
            "timeout",
            `${host} did not accept a connection within ${connectMs} ms.`,
          ),
        ),
      connectMs,
    );
    const connected = () => clearTimeout(connecting);
    let interim = 0;
    const onInterim = () => {
      if (++interim <= MAX_INTERIM) return;
      fail(failed(host, "protocol", "does not come to its answer."));
    };
    // Stays: what is cut is cut while the body is read, too.
    cut.addEventListener("abort", fail, { once: true });
    request
      .on("error", fail)
      .on("socket", (socket) => {
        if (!socket.connecting) return connected();
        socket.once(isSecure ? "secureConnect" : "connect", connected);
      })
      .on("continue", onInterim)
      .on("information", onInterim)
      .on("upgrade", (_message, socket) => {
        socket.destroy();
        fail(failed(host, "protocol", "changes to another protocol."));
      })
      .on("response", (message) => {
        // Without a listener an error would end the process, though nobody may be reading any more.
        resolve(message.on("error", () => {}));
      })
      .end(body);
    return promise;
  };
}

/**
 * The addresses that a destination has. The resolver is asked once, and none of what it says is used unless all of it
 * may be reached. Throws what the connection would.
 */
export function createResolver(
  settings: Pick<ConnectionSettings, "lookup">,
  destinations: Destinations,
): (destination: Destination) => Promise<string[]> {
  const dns = process.getBuiltinModule("node:dns/promises");
  const { lookup = everyAddress } = settings;

  async function everyAddress(name: string): Promise<string[]> {
    const found = await dns.lookup(name, { all: true, order: "verbatim" });
    return found.map(({ address }) => address);
  }

  return async (destination) => {
    const { host, named } = destination;
    let { addresses } = destination;
    try {
      addresses ??= destinations.admit(destination, await lookup(host));
    } catch (cause) {
      const { code } = cause as { code?: string };
      // Whether a name exists on our side of the network is the operator's business only.
      if (!named && (code === "ENOTFOUND" || code === "ENODATA")) {
        throw blocked();
      }
      throw failed(host, "unreachable", "has no address at present.", cause);
    }
    if (!addresses) throw blocked();
    return addresses.slice(0, MAX_ADDRESSES);
  };
}
