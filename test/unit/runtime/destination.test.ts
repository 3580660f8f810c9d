import { describe, expect, test } from "bun:test";
import { createDestinations } from "../../../src/runtime/destination.ts";

const none = createDestinations([]);
const reached = (text: string, destinations = none) =>
  destinations.find(text) !== null;
/** What a name that resolves to these may be connected to. */
const admitted = (addresses: string[], allow: string[] = []) => {
  const destinations = createDestinations(allow);
  return destinations.admit(
    destinations.find("https://mcp.example.com")!,
    addresses,
  );
};

/** In brackets where a URL needs them. */
const host = (address: string) =>
  address.includes(":") ? `[${address}]` : address;

const blockedAddresses = [
  "0.0.0.0",
  "0.1.2.3",
  "10.0.0.1",
  "100.64.0.1",
  "100.100.100.200",
  "127.0.0.1",
  "127.255.255.254",
  "168.63.129.16",
  "169.254.169.254",
  "172.16.0.1",
  "172.31.255.255",
  "192.0.0.1",
  "192.0.0.192",
  "192.0.2.1",
  "192.88.99.1",
  "192.168.0.1",
  "198.18.0.1",
  "198.51.100.1",
  "203.0.113.1",
  "224.0.0.1",
  "240.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::7f00:1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "::ffff:169.254.169.254",
  "::ffff:0:7f00:1",
  "64:ff9b::7f00:1",
  "64:ff9b::a9fe:a9fe",
  "64:ff9b:1::",
  "64:ff9b:1::808:808",
  "100::1",
  "100:0:0:1::1",
  "2001::1",
  "2001:2::1",
  "2001:10::1",
  "2001:db8::1",
  "2002:7f00:1::",
  "3fff::1",
  "5f00::",
  "fc00::1",
  "fd00:ec2::254",
  "fe80::1",
  "fec0::1",
  "ff02::1",
];

const publicAddresses = [
  "1.1.1.1",
  "8.8.8.8",
  "172.15.255.255",
  "172.32.0.1",
  "100.63.255.255",
  "100.128.0.1",
  "168.63.129.17",
  "223.255.255.255",
  "2606:4700:4700::1111",
  "2a00:1450::1",
  "64:ff9b::808:808",
  "::ffff:8.8.8.8",
];

describe("an address", () => {
  test.each(blockedAddresses)(
    "%s is reached neither as it is nor by a name",
    (address) => {
      expect(reached(`http://${host(address)}/`)).toBe(false);
      expect(admitted([address])).toBeNull();
      expect(admitted(["8.8.8.8", address])).toBeNull();
      expect(admitted([address, "8.8.8.8"])).toBeNull();
    },
  );

  test.each(publicAddresses)("%s is reached", (address) => {
    expect(reached(`https://${host(address)}/`)).toBe(true);
    expect(admitted([address])).toHaveLength(1);
  });

  test.each([
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "0",
    "0x0",
    "127.0.0.1.",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "[::ffff:127.1.2.3]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:7f00:0001]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "foo.localhost",
    "foo.localhost.",
    "ｌｏｃａｌｈｏｓｔ",
  ])("%s is this machine, however it is written", (written) => {
    for (const scheme of ["http", "https"]) {
      expect(reached(`${scheme}://${written}/mcp`)).toBe(false);
      expect(reached(`${scheme}:\\\\${written}\\mcp`)).toBe(false);
    }
  });

  test("with a zone is not one for a URL, and no zone makes it public", () => {
    expect(reached("http://[fe80::1%25eth0]/")).toBe(false);
    expect(reached("http://[fe80::1%eth0]/")).toBe(false);
    expect(admitted(["fe80::1%eth0"])).toBeNull();
  });

  test("that a resolver makes up is none", () => {
    expect(admitted([])).toBeNull();
    expect(admitted(["nonsense"])).toBeNull();
    expect(admitted(["8.8.8.8", ""])).toBeNull();
  });

  test("of IPv4 in IPv6 is connected to as the IPv4 it is", () => {
    expect(admitted(["::ffff:8.8.8.8"])).toEqual(["8.8.8.8"]);
  });
});

describe("a URL", () => {
  test.each([
    "file:///etc/passwd",
    "s3://bucket/key",
    "data:text/plain,x",
    "blob:https://mcp.example.com/1",
    "unix:/run/docker.sock",
    "gopher://mcp.example.com",
    "ftp://mcp.example.com",
    "ws://mcp.example.com",
    "javascript:alert(1)",
    "//mcp.example.com",
    "mcp.example.com",
    "",
    "https://",
    "https://user@mcp.example.com/",
    "https://user:password@mcp.example.com/",
    "https://:password@mcp.example.com/",
    "https://8.8.8.8@127.0.0.1/",
    "https://mcp.example.com/#",
    "https://mcp.example.com/#x",
    "https://mcp.example.com:22/",
    "https://mcp.example.com:25/",
    "https://mcp.example.com:1023/",
    "https://mcp.example.com:0/",
    "https://mcp.example.com:6379/",
    "https://mcp.example.com:5432/",
    "https://mcp.example.com:11211/",
    "https://mcp.example.com:65536/",
    "https://mcp..example.com/",
    "https://.example.com/",
    "https://mcp.example.com../",
    `https://${"a".repeat(60)}.${"b".repeat(200)}/`,
    `https://mcp.example.com/${"x".repeat(8200)}`,
  ])("%p is refused", (text) => {
    expect(reached(text)).toBe(false);
  });

  test.each([
    ["https://mcp.example.com/mcp?a=b", "https://mcp.example.com/mcp?a=b"],
    ["HTTPS://MCP.Example.COM:443", "https://mcp.example.com/"],
    ["http://mcp.example.com/mcp", "http://mcp.example.com/mcp"],
    ["http://mcp.example.com:443/", "http://mcp.example.com:443/"],
    ["http://my_server:8000/mcp", "http://my_server:8000/mcp"],
    ["https://mcp.example.com.:8443/", "https://mcp.example.com:8443/"],
    ["https://bücher.example/", "https://xn--bcher-kva.example/"],
    ["https://mcp.example.com/%23", "https://mcp.example.com/%23"],
  ])("%s is asked for as %s", (text, href) => {
    expect(none.find(text)?.url.href).toBe(href);
  });
});

describe("what the operator allows", () => {
  test("a network, an address: these and no others", () => {
    const allowed = createDestinations([
      "10.1.0.0/16",
      "127.0.0.2",
      "fd00::/8",
    ]);
    for (const written of [
      "10.1.2.3",
      "0x0a010203",
      "127.0.0.2",
      "[::ffff:127.0.0.2]",
      "[fd12::1]",
    ]) {
      expect(reached(`http://${written}:8000/`, allowed)).toBe(true);
    }
    for (const written of [
      "10.2.0.1",
      "127.0.0.1",
      "127.0.0.3",
      "[fe80::1]",
      "localhost",
    ]) {
      expect(reached(`http://${written}:8000/`, allowed)).toBe(false);
    }
  });

  test("a network holds for what names resolve to, address by address", () => {
    const allow = ["10.0.0.0/8"];
    expect(admitted(["10.1.2.3"], allow)).toEqual(["10.1.2.3"]);
    expect(admitted(["10.1.2.3", "8.8.8.8"], allow)).toHaveLength(2);
    expect(admitted(["10.1.2.3", "192.168.0.1"], allow)).toBeNull();
  });

  test("a name may be wherever it resolves to, and no other name may", () => {
    const allowed = createDestinations(["My-Server", "*.example.internal"]);
    const at = (name: string) => {
      const found = allowed.find(`http://${name}:8000/mcp`)!;
      return allowed.admit(found, ["10.1.2.3", "::1"]);
    };
    for (const name of [
      "my-server",
      "MY-SERVER.",
      "a.example.internal",
      "a.b.example.internal",
    ]) {
      expect(at(name)).toEqual(["10.1.2.3", "::1"]);
    }
    for (const name of [
      "my-server.example.com",
      "example.internal",
      "badexample.internal",
      "a.example.internal.evil.com",
    ]) {
      expect(at(name)).toBeNull();
    }
  });

  test("this machine by its name, at the addresses that are allowed", () => {
    const find = (allow: string[]) =>
      createDestinations(allow).find("http://localhost:3000")?.addresses;
    expect(find(["127.0.0.0/8"])).toEqual(["127.0.0.1"]);
    expect(find(["::1"])).toEqual(["::1"]);
    expect(find(["localhost"])).toEqual(["127.0.0.1", "::1"]);
    expect(find(["127.0.0.2/32"])).toBeUndefined();
  });

  test("does not open ports, schemes and users", () => {
    const allowed = createDestinations(["0.0.0.0/0", "my-server"]);
    for (const text of [
      "http://my-server:22",
      "http://my-server:6379",
      "http://u:p@my-server",
      "file://my-server/x",
    ]) {
      expect(reached(text, allowed)).toBe(false);
    }
  });
});

describe("what must not be overheard", () => {
  const destinations = createDestinations([
    "10.0.0.0/8",
    "hook",
    "*.example.internal",
  ]);

  test("goes by https anywhere that is public, and by http only to what the operator allows", () => {
    const reaches = (url: string) => destinations.find(url, true) !== null;
    expect(reaches("https://93.184.215.14/")).toBe(true);
    expect(reaches("http://93.184.215.14/")).toBe(false);
    expect(reaches("http://10.1.2.3/")).toBe(true);
    expect(reaches("http://hook/")).toBe(true);
    expect(destinations.find("http://93.184.215.14/")).not.toBeNull();
  });

  test("is looked at again once a name is resolved", () => {
    const admits = (url: string, address: string) =>
      destinations.admit(destinations.find(url, true)!, [address]) !== null;
    expect(admits("http://some.example/", "93.184.215.14")).toBe(false);
    expect(admits("http://some.example/", "10.1.2.3")).toBe(true);
    expect(admits("https://some.example/", "93.184.215.14")).toBe(true);
    expect(admits("http://a.example.internal/", "93.184.215.14")).toBe(true);
  });
});
