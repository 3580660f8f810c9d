/**
 * Who calls: the address of the connection, or, when that is one of our proxies, the nearest one in
 * `X-Forwarded-For` that is not. `trusted`: addresses and CIDRs.
 */
export function createCallerAddress(
  trusted: readonly string[],
): (request: Request, direct: string | null) => string | null {
  // Without proxies node:net is not loaded: it takes a millisecond of the start.
  if (trusted.length === 0) return (_request, direct) => direct;
  const { BlockList, isIP } = process.getBuiltinModule("node:net");
  const family = (address: string) => (isIP(address) === 6 ? "ipv6" : "ipv4");
  const proxies = new BlockList();
  for (const entry of trusted) {
    const [net, bits] = entry.split("/");
    if (bits === undefined) proxies.addAddress(net!, family(net!));
    else proxies.addSubnet(net!, Number(bits), family(net!));
  }
  const isProxy = (address: string) => proxies.check(address, family(address));

  return (request, direct) => {
    if (direct === null || !isProxy(direct)) return direct;
    const hops = (request.headers.get("x-forwarded-for") ?? "").split(",");
    let nearest = direct;
    for (const hop of hops.toReversed()) {
      const address = withoutPort(hop.trim());
      // What stands left of nonsense may be anybody's invention.
      if (isIP(address) === 0) return nearest;
      if (!isProxy(address)) return address;
      nearest = address;
    }
    return nearest;
  };
}

/** Some proxies add the port: `192.0.2.1:50000`, `[2001:db8::1]:50000`. */
function withoutPort(hop: string): string {
  const match = /^(?:\[([^\]]+)\](?::\d+)?|([^:]+):\d+)$/.exec(hop);
  return match ? (match[1] ?? match[2]!) : hop;
}
