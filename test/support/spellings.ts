/** Addresses at random, and the ways to write them that a URL parser understands. */

export type Random = (below: number) => number;

/** The same numbers for the same seed. */
export function seeded(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** An IPv4 address as a host of a URL: short, octal, hexadecimal, escaped, in other scripts' digits, as IPv6. */
export function spellIPv4(bytes: readonly number[], random: Random): string {
  const digit = (letter: string) => {
    if (random(8) > 0) return letter;
    return random(2)
      ? String.fromCodePoint(0xff10 + Number(letter))
      : `%3${letter}`;
  };
  const number = (value: number) => {
    const hex = value.toString(16);
    const text = [
      () => String(value),
      () => `0x${random(2) ? hex : hex.toUpperCase()}`,
      () => `0X00${hex}`,
      () => `0${value.toString(8)}`,
    ][random(4)]!();
    return text.replace(/[0-9]/g, digit);
  };
  if (random(5) === 0) {
    const [a, b, c, d] = bytes as [number, number, number, number];
    const hex = (value: number) => value.toString(16);
    return [
      `[::ffff:${bytes.join(".")}]`,
      `[::FFFF:${hex((a << 8) | b)}:${hex((c << 8) | d)}]`,
      `[0:0:0:0:0:ffff:${hex((a << 8) | b)}:${hex((c << 8) | d)}]`,
    ][random(3)]!;
  }
  // The last part takes up the bytes that have no part of their own.
  const parts = 1 + random(4);
  const head = bytes.slice(0, parts - 1);
  const tail = bytes
    .slice(parts - 1)
    .reduce((value, byte) => value * 256 + byte, 0);
  const dot = [".", ".", "。", "．", "｡", "%2e"][random(6)]!;
  return [...head, tail].map(number).join(dot) + (random(6) ? "" : ".");
}

/** An IPv6 address of eight groups as a host of a URL. */
export function spellIPv6(groups: readonly number[], random: Random): string {
  let text = groups
    .map((group) => {
      const hex = group.toString(16);
      return [hex, hex.toUpperCase(), hex.padStart(4, "0")][random(3)]!;
    })
    .join(":");
  if (random(2)) text = text.replace(/(^|:)0+(:0+)+(:|$)/, "::");
  return `[${text}]`;
}
