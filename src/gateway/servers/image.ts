/** What an image is, by its bytes. */
export type Image = {
  type:
    "image/png" | "image/jpeg" | "image/webp" | "image/gif" | "image/x-icon";
  /** Of the largest picture in it. */
  width: number;
  height: number;
  /** How many pictures there are in it, one after the other or to choose from. */
  frames: number;
};

/**
 * Type and size from the headers; no picture is unpacked. Null for what is not one of these types from its first byte
 * to its last: with something appended, other than zeros, it is none.
 */
export function readImage(bytes: Uint8Array): Image | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    return (
      readPng(view) ??
      readJpeg(view) ??
      readWebp(view) ??
      readGif(view) ??
      readIco(view)
    );
  } catch (error) {
    // It ends before it should.
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** Latin-1. */
function text(view: DataView, at: number, length: number): string {
  let found = "";
  for (let n = 0; n < length; n++) {
    found += String.fromCharCode(view.getUint8(at + n));
  }
  return found;
}

function startsWith(view: DataView, start: string): boolean {
  return (
    view.byteLength >= start.length && text(view, 0, start.length) === start
  );
}

/** Whether nothing comes after this but padding. */
function endsAt(view: DataView, at: number): boolean {
  if (at > view.byteLength) return false;
  while (at < view.byteLength && view.getUint8(at) === 0) at++;
  return at === view.byteLength;
}

const PNG = "\x89PNG\r\n\x1a\n";

function readPng(view: DataView): Image | null {
  if (!startsWith(view, PNG)) return null;
  if (view.getUint32(8) !== 13 || text(view, 12, 4) !== "IHDR") return null;
  let frames = 0;
  for (let at = PNG.length; ;) {
    const type = text(view, at + 4, 4);
    if (type === "fcTL") frames++;
    at += 12 + view.getUint32(at);
    if (type !== "IEND") continue;
    return endsAt(view, at)
      ? {
          type: "image/png",
          width: view.getUint32(16),
          height: view.getUint32(20),
          frames: Math.max(1, frames),
        }
      : null;
  }
}

/** Markers of frames of every kind; three numbers between them mean something else. */
const isFrame = (marker: number) =>
  marker >= 0xc0 &&
  marker <= 0xcf &&
  marker !== 0xc4 &&
  marker !== 0xc8 &&
  marker !== 0xcc;

function readJpeg(view: DataView): Image | null {
  if (!startsWith(view, "\xff\xd8\xff")) return null;
  let end = view.byteLength;
  while (view.getUint8(end - 1) === 0) end--;
  if (view.getUint16(end - 2) !== 0xffd9) return null;
  for (let at = 2; ;) {
    if (view.getUint8(at) !== 0xff) return null;
    const marker = view.getUint8(at + 1);
    // Marks may be padded.
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (isFrame(marker)) {
      return {
        type: "image/jpeg",
        width: view.getUint16(at + 7),
        height: view.getUint16(at + 5),
        frames: 1,
      };
    }
    // The picture itself, or its end, before its size.
    if (marker === 0xda || marker === 0xd9) return null;
    at += 2 + view.getUint16(at + 2);
  }
}

function readWebp(view: DataView): Image | null {
  if (!startsWith(view, "RIFF") || text(view, 8, 4) !== "WEBP") return null;
  const end = 8 + view.getUint32(4, true);
  const size = webpSize(view);
  if (!size) return null;
  let frames = 0;
  let at = 12;
  while (at < end) {
    if (text(view, at, 4) === "ANMF") frames++;
    const length = view.getUint32(at + 4, true);
    at += 8 + length + (length % 2);
  }
  return at === end && endsAt(view, end)
    ? { type: "image/webp", ...size, frames: Math.max(1, frames) }
    : null;
}

function webpSize(view: DataView): { width: number; height: number } | null {
  switch (text(view, 12, 4)) {
    case "VP8X":
      return {
        width: 1 + (view.getUint32(24, true) & 0xffffff),
        height: 1 + (view.getUint32(26, true) >>> 8),
      };
    case "VP8L": {
      if (view.getUint8(20) !== 0x2f) return null;
      const bits = view.getUint32(21, true);
      return {
        width: 1 + (bits & 0x3fff),
        height: 1 + ((bits >> 14) & 0x3fff),
      };
    }
    case "VP8 ":
      if (text(view, 23, 3) !== "\x9d\x01\x2a") return null;
      return {
        width: view.getUint16(26, true) & 0x3fff,
        height: view.getUint16(28, true) & 0x3fff,
      };
    default:
      return null;
  }
}

function readGif(view: DataView): Image | null {
  if (!startsWith(view, "GIF87a") && !startsWith(view, "GIF89a")) return null;
  /** Bytes of the colours that flags announce. */
  const colours = (flags: number) =>
    flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0;
  let width = view.getUint16(6, true);
  let height = view.getUint16(8, true);
  let frames = 0;
  let at = 13 + colours(view.getUint8(10));
  const skipBlocks = () => {
    for (let length = 1; length > 0;) {
      length = view.getUint8(at);
      at += 1 + length;
    }
  };
  for (;;) {
    switch (view.getUint8(at)) {
      case 0x21:
        at += 2;
        skipBlocks();
        break;
      case 0x2c:
        frames++;
        width = Math.max(width, view.getUint16(at + 5, true));
        height = Math.max(height, view.getUint16(at + 7, true));
        at += 11 + colours(view.getUint8(at + 9));
        skipBlocks();
        break;
      case 0x3b:
        return frames > 0 && endsAt(view, at + 1)
          ? { type: "image/gif", width, height, frames }
          : null;
      default:
        return null;
    }
  }
}

function readIco(view: DataView): Image | null {
  if (!startsWith(view, "\0\0\x01\0")) return null;
  const frames = view.getUint16(4, true);
  const head = 6 + 16 * frames;
  let end = head;
  let bytes = head;
  let width = 0;
  let height = 0;
  for (let entry = 6; entry < head; entry += 16) {
    const length = view.getUint32(entry + 8, true);
    const from = view.getUint32(entry + 12, true);
    bytes += length;
    // Pictures that share bytes could be read without end.
    if (bytes > view.byteLength) return null;
    if (from < head || from + length > view.byteLength) return null;
    const picture = new DataView(view.buffer, view.byteOffset + from, length);
    // What the entry says of the size is not what is drawn.
    const size = readPng(picture) ?? bitmapSize(picture);
    if (!size) return null;
    end = Math.max(end, from + length);
    width = Math.max(width, size.width);
    height = Math.max(height, size.height);
  }
  return frames > 0 && endsAt(view, end)
    ? { type: "image/x-icon", width, height, frames }
    : null;
}

/** Of a bitmap without its file header; twice as high as it is seen, for the mask. */
function bitmapSize(view: DataView): { width: number; height: number } | null {
  if (view.getUint32(0, true) !== 40) return null;
  const height = Math.abs(view.getInt32(8, true));
  return { width: view.getUint32(4, true), height: Math.ceil(height / 2) };
}
