import { crc32, deflateSync } from "node:zlib";

/** Small pictures, and their parts. */

const numbers = (...values: number[]) => Uint8Array.from(values);
const u16 = (value: number) => numbers(value & 255, value >> 8);
const u32 = (value: number) =>
  numbers(...u16(value & 0xffff), ...u16(value >>> 16));
const bigU32 = (value: number) => u32(value).toReversed();
const latin1 = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));

export function joined(...parts: (Uint8Array | string)[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat(
      parts.map((part) => (typeof part === "string" ? latin1(part) : part)),
    ),
  );
}

export function pngChunk(type: string, data: Uint8Array | string): Uint8Array {
  const named = joined(type, data);
  return joined(bigU32(named.length - 4), named, bigU32(crc32(named)));
}

/** One colour all over; `chunks` come before the picture. */
export function png(
  width: number,
  height: number,
  ...chunks: Uint8Array[]
): Uint8Array {
  const head = joined(bigU32(width), bigU32(height), numbers(8, 0, 0, 0, 0));
  const rows = deflateSync(Buffer.alloc((width + 1) * height));
  return joined(
    "\x89PNG\r\n\x1a\n",
    pngChunk("IHDR", head),
    ...chunks,
    pngChunk("IDAT", rows),
    pngChunk("IEND", ""),
  );
}

/** Headers of a picture of any size, whose rows are anything. */
export function hugePng(width: number, height: number): Uint8Array {
  const head = joined(bigU32(width), bigU32(height), numbers(8, 0, 0, 0, 0));
  return joined(
    "\x89PNG\r\n\x1a\n",
    pngChunk("IHDR", head),
    pngChunk("IDAT", deflateSync(Buffer.alloc(1_000_000))),
    pngChunk("IEND", ""),
  );
}

export function gif(width: number, height: number, frames = 1): Uint8Array {
  const frame = joined(
    "\x21\xf9\x04\0\0\0\0\0",
    "\x2c\0\0\0\0",
    u16(width),
    u16(height),
    "\0\x02\x02\x4c\x01\0",
  );
  return joined(
    "GIF89a",
    u16(width),
    u16(height),
    "\x80\0\0\0\0\0\xff\xff\xff",
    ...Array.from({ length: frames }, () => frame),
    ";",
  );
}

/** `progressive` ones have another mark before their size. */
export function jpeg(
  width: number,
  height: number,
  progressive = false,
): Uint8Array {
  const size = joined(u16(height).toReversed(), u16(width).toReversed());
  return joined(
    "\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0",
    "\xff\xfe\0\x07hello",
    "\xff\xc4\0\x03\0",
    progressive ? "\xff\xc2" : "\xff\xff\xc0",
    "\0\x0b\x08",
    size,
    "\x01\x01\x11\0",
    "\xff\xda\0\x08\x01\x01\0\0\x3f\0\x37\xff\xd9",
  );
}

/** Kinds: with loss, without, and with more than a picture. */
export function webp(
  kind: "VP8 " | "VP8L" | "VP8X",
  width: number,
  height: number,
  frames = 0,
): Uint8Array {
  const chunk = (type: string, data: Uint8Array) =>
    joined(type, u32(data.length), data, data.length % 2 ? "\0" : "");
  const head = {
    "VP8 ": () => joined("\x30\x01\0\x9d\x01\x2a", u16(width), u16(height)),
    VP8L: () =>
      joined("\x2f", u32((((height - 1) << 14) | (width - 1)) >>> 0), "\0"),
    VP8X: () =>
      joined(
        "\x02\0\0\0",
        u32(width - 1).subarray(0, 3),
        u32(height - 1).subarray(0, 3),
      ),
  }[kind]();
  const body = joined(
    "WEBP",
    chunk(kind, head),
    ...Array.from({ length: frames }, () => chunk("ANMF", latin1("frame"))),
  );
  return joined("RIFF", u32(body.length), body);
}

/** Of these pictures, whatever sizes it says they have. */
export function ico(...pictures: Uint8Array[]): Uint8Array {
  let from = 6 + 16 * pictures.length;
  const entries = pictures.map((picture) => {
    const entry = joined(
      "\x10\x10\0\0\x01\0\x20\0",
      u32(picture.length),
      u32(from),
    );
    from += picture.length;
    return entry;
  });
  return joined("\0\0\x01\0", u16(pictures.length), ...entries, ...pictures);
}

/** A picture as icons have it. */
export function bitmap(width: number, height: number): Uint8Array {
  return joined(
    u32(40),
    u32(width),
    u32(2 * height),
    "\x01\0\x20\0",
    new Uint8Array(24 + 16),
  );
}
