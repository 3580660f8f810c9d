import ipaddr from "ipaddr.js";

/** Where a URL leads, as far as its text says. */
export type Destination = {
  /** In its canonical spelling. */
  url: URL;
  /** Without brackets, and without the dot that a name may end with. */
  host: string;
  /** The operator has allowed the name itself, and with it whatever it resolves to. */
  named: boolean;
  /** Where the connection goes, when no resolver has to be asked: checked already. */
  addresses: string[] | null;
  /** Only what the operator has allowed will do: it would be overheard. */
  allowedOnly: boolean;
};

export type Destinations = {
  /**
   * Reads a URL as the connection will: the WHATWG parser turns every notation of an address into the one. Null for
   * what may not be reached: another scheme than http and https, a user, a fragment, a port of another service, an
   * address that is not public. `http:` is as good as `https:` here, because servers on a private network seldom have
   * certificates; `secure` is for who sends something that must not be overheard: `http:` then takes a host that the
   * operator has allowed.
   */
  find(text: string, secure?: boolean): Destination | null;
  /**
   * The addresses that a name was resolved to, in canonical spelling; null when there are none, or when any of them
   * may not be reached.
   */
  admit(
    destination: Destination,
    addresses: readonly string[],
  ): string[] | null;
};

const MAX_URL = 8192;
const MAX_NAME = 253;

/**
 * Ports above 1023 of services that do not speak HTTP and may act on what is said to them: those of the Fetch
 * standard's list, and databases, caches, queues and desktops.
 */
const otherServices: ReadonlySet<number> = new Set([
  1433, 1434, 1521, 1719, 1720, 1723, 2049, 3306, 3389, 3659, 4045, 4190, 5060,
  5061, 5432, 5672, 5900, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679,
  6697, 9042, 9092, 10080, 11211, 27017,
]);

type Address = ipaddr.IPv4 | ipaddr.IPv6;

const loopback = ["127.0.0.1", "::1"];
/** IPv6 that is given to anybody at all. */
const globalUnicast = ipaddr.IPv6.parseCIDR("2000::/3");
/** What DNS64 makes of the addresses of hosts that have IPv4 only; the gateway takes the IPv4 address out again. */
const nat64 = ipaddr.IPv6.parseCIDR("64:ff9b::/96");
/** A public address that is, on Azure, the host's own service for its machines. */
const azureHost = "168.63.129.16";

/** `allow`: networks, addresses, host names and `*.` with a domain, as the configuration has checked them. */
export function createDestinations(allow: readonly string[]): Destinations {
  const networks: [Address, number][] = [];
  const names = new Set<string>();
  const domains: string[] = [];
  for (const entry of allow.map((entry) => entry.toLowerCase())) {
    const address = entry.split("/")[0]!;
    if (ipaddr.isValid(address) && isCanonical(address)) {
      const network = entry.includes("/")
        ? entry
        : `${entry}/${entry.includes(":") ? 128 : 32}`;
      networks.push(ipaddr.parseCIDR(network));
    } else if (entry.startsWith("*.")) domains.push(entry.slice(1));
    else names.add(entry);
  }

  const isNamed = (host: string) =>
    names.has(host) || domains.some((domain) => host.endsWith(domain));

  const isAllowed = (address: Address) =>
    networks.some(
      ([network, bits]) =>
        network.kind() === address.kind() && address.match(network, bits),
    );

  const mayReach = (address: Address, allowedOnly: boolean) =>
    isAllowed(address) || (!allowedOnly && isPublic(address));

  function find(text: string, secure = false): Destination | null {
    if (text.length > MAX_URL) return null;
    const url = URL.parse(text);
    if (!url || !/^https?:$/.test(url.protocol)) return null;
    // An empty fragment, too.
    if (url.username || url.password || url.href.includes("#")) return null;
    if (!mayUsePort(url.port)) return null;
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
    if (host.length > MAX_NAME || host.split(".").includes("")) return null;
    if (url.hostname.endsWith(".")) url.hostname = host;
    const allowedOnly = secure && url.protocol === "http:";
    const found = { url, host, allowedOnly };
    if (ipaddr.isValid(host)) {
      const address = read(host);
      return mayReach(address, allowedOnly)
        ? { ...found, named: false, addresses: [address.toString()] }
        : null;
    }
    const named = isNamed(host);
    if (host !== "localhost" && !host.endsWith(".localhost")) {
      return { ...found, named, addresses: null };
    }
    // This machine, whatever a resolver says (RFC 6761).
    const addresses = loopback.filter(
      (address) => named || isAllowed(read(address)),
    );
    return addresses.length > 0 ? { ...found, named, addresses } : null;
  }

  function admit(
    { named, allowedOnly }: Destination,
    addresses: readonly string[],
  ): string[] | null {
    if (addresses.length === 0) return null;
    if (!addresses.every((address) => ipaddr.isValid(address))) return null;
    const found = addresses.map(read);
    const fine =
      named || found.every((address) => mayReach(address, allowedOnly));
    return fine ? found.map(String) : null;
  }

  return { find, admit };
}

/** As the connection sees it: IPv4 in the clothes of IPv6 is IPv4. */
function read(text: string): Address {
  return ipaddr.process(text);
}

function isPublic(address: Address): boolean {
  if (address instanceof ipaddr.IPv4) {
    return address.range() === "unicast" && address.toString() !== azureHost;
  }
  if (address.match(nat64)) {
    return isPublic(ipaddr.fromByteArray(address.toByteArray().slice(12)));
  }
  return address.range() === "unicast" && address.match(globalUnicast);
}

function mayUsePort(text: string): boolean {
  // The scheme's own.
  if (text === "") return true;
  const port = Number(text);
  return (
    port === 80 || port === 443 || (port >= 1024 && !otherServices.has(port))
  );
}

/** Not a short or octal notation, which reads as an address and may be meant as a name. */
function isCanonical(address: string): boolean {
  return address.includes(":") || ipaddr.IPv4.isValidFourPartDecimal(address);
}
