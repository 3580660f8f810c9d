import { expect, test } from "bun:test";
import { createDestinations } from "../../../src/runtime/destination.ts";
import { seeded, spellIPv4, spellIPv6 } from "../../support/spellings.ts";

const { find } = createDestinations([]);
const CASES = 20_000;

/** IANA's special-purpose registries, multicast, and 168.63.129.16; written down anew, to be compared with. */
const special4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "168.63.129.16/32",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.31.196.0/24",
  "192.52.193.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "192.175.48.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
].map((network) => {
  const [address, bits] = network.split("/");
  return {
    base: toNumber(address!.split(".").map(Number)),
    bits: Number(bits),
  };
});

function toNumber(bytes: number[]): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}
function isPublic4(bytes: number[]): boolean {
  const value = toNumber(bytes);
  return !special4.some(({ base, bits }) => {
    const size = 2 ** (32 - bits);
    return value >= base && value < base + size;
  });
}

function isPublic6(groups: number[]): boolean {
  const [a, b, c] = groups as [number, number, number];
  const last = [
    groups[6]! >> 8,
    groups[6]! & 255,
    groups[7]! >> 8,
    groups[7]! & 255,
  ];
  const zeros = (from: number, to: number) =>
    groups.slice(from, to).every((group) => group === 0);
  if (zeros(0, 5) && groups[5] === 0xffff) return isPublic4(last);
  if (a === 0x64 && b === 0xff9b && zeros(2, 6)) return isPublic4(last);
  if (a >> 13 !== 1) return false;
  if (a === 0x2001 && (b < 0x200 || b === 0xdb8)) return false;
  if (a === 0x2002 || (a === 0x3fff && b < 0x1000)) return false;
  return !(a === 0x2620 && b === 0x4f && c === 0x8000);
}

test("however an IPv4 address is written, it is reached when it is public", () => {
  const random = seeded(4);
  let reached = 0;
  for (let n = 0; n < CASES; n++) {
    const near = special4[random(special4.length)]!;
    // Half of them in and around special networks.
    const value = random(2)
      ? near.base + random(2 ** (32 - near.bits + 1)) - (random(2) ? 1 : 0)
      : random(2 ** 32);
    const whole = ((value % 2 ** 32) + 2 ** 32) % 2 ** 32;
    const bytes = [24, 16, 8, 0].map((shift) => (whole / 2 ** shift) & 255);
    const written = spellIPv4(bytes, random);
    const found = find(`http://${written}/`);
    expect([written, found !== null]).toEqual([written, isPublic4(bytes)]);
    if (!found) continue;
    reached++;
    expect([written, found.addresses]).toEqual([written, [bytes.join(".")]]);
  }
  expect(reached).toBeGreaterThan(CASES / 10);
});

test("however an IPv6 address is written, it is reached when it is public", () => {
  const random = seeded(6);
  const heads = [
    [0],
    [0, 0, 0, 0, 0, 0xffff],
    [0, 0, 0, 0, 0xffff, 0],
    [0x64, 0xff9b, 0, 0, 0, 0],
    [0x64, 0xff9b, 1],
    [0x100],
    [0x2001],
    [0x2001, 0],
    [0x2001, 0x1ff],
    [0x2001, 0x200],
    [0x2001, 0xdb8],
    [0x2002],
    [0x2600],
    [0x2620, 0x4f, 0x8000],
    [0x3fff, 0xfff],
    [0x3fff, 0x1000],
    [0x4000],
    [0x5f00],
    [0xfc00],
    [0xfe80],
    [0xfec0],
    [0xff02],
  ];
  let reached = 0;
  for (let n = 0; n < CASES; n++) {
    const head = random(4) ? heads[random(heads.length)]! : [];
    const groups = [
      ...head,
      ...Array.from({ length: 8 }, () =>
        random(3) ? random(0x10000) : random(2),
      ),
    ].slice(0, 8);
    const written = spellIPv6(groups, random);
    const found = find(`https://${written}/`);
    expect([written, found !== null]).toEqual([written, isPublic6(groups)]);
    if (found) reached++;
  }
  expect(reached).toBeGreaterThan(CASES / 20);
});
