import { describe, expect, test } from "bun:test";
import { readImage } from "../../../../src/gateway/servers/image.ts";
import {
  bitmap,
  gif,
  ico,
  joined,
  jpeg,
  png,
  pngChunk,
  webp,
} from "../../../support/pictures.ts";

const pictures: [string, Uint8Array, string, number][] = [
  ["PNG", png(5, 3), "image/png", 1],
  [
    "animated PNG",
    png(5, 3, pngChunk("fcTL", ""), pngChunk("fcTL", "")),
    "image/png",
    2,
  ],
  ["GIF", gif(5, 3), "image/gif", 1],
  ["animated GIF", gif(5, 3, 7), "image/gif", 7],
  ["JPEG", jpeg(5, 3), "image/jpeg", 1],
  ["progressive JPEG", jpeg(5, 3, true), "image/jpeg", 1],
  ["WebP", webp("VP8 ", 5, 3), "image/webp", 1],
  ["WebP without loss", webp("VP8L", 5, 3), "image/webp", 1],
  ["animated WebP", webp("VP8X", 5, 3, 4), "image/webp", 4],
  ["icon of a PNG", ico(png(5, 3)), "image/x-icon", 1],
  [
    "icon of several pictures",
    ico(bitmap(4, 2), png(5, 1), bitmap(2, 3)),
    "image/x-icon",
    3,
  ],
];

/** Written by other programs than these tests. */
const foreign: [string, string, string, number, number][] = [
  [
    "GIF",
    "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
    "image/gif",
    1,
    1,
  ],
  [
    "WebP with loss",
    "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA",
    "image/webp",
    1,
    1,
  ],
  [
    "WebP without loss",
    "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==",
    "image/webp",
    1,
    1,
  ],
  [
    "WebP with transparency",
    "UklGRkoAAABXRUJQVlA4WAoAAAAQAAAAAAAAAAAAQUxQSAwAAAARBxAR/Q9ERP8DAABWUDggGAAAABQBAJ0BKgEAAQAAAP4AAA3AAP7mtQAAAA==",
    "image/webp",
    1,
    1,
  ],
  [
    "PNG",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "image/png",
    1,
    1,
  ],
];

describe("a picture", () => {
  test.each(pictures)(
    "that is a %s is known by its bytes",
    (_, bytes, type, frames) => {
      expect(readImage(bytes)).toEqual({
        type: type as "image/png",
        width: 5,
        height: 3,
        frames,
      });
    },
  );

  test.each(foreign)(
    "that is somebody else's %s is too",
    (_, base64, type, width, height) => {
      expect(readImage(Uint8Array.fromBase64(base64))).toEqual({
        type: type as "image/png",
        width,
        height,
        frames: 1,
      });
    },
  );

  test.each(pictures)(
    "that is a %s with something behind it is none",
    (_, bytes) => {
      expect(readImage(joined(bytes, "<script>"))).toBeNull();
      expect(readImage(joined(bytes, "\0\0\0<svg/>"))).toBeNull();
      expect(readImage(joined(bytes, "\0\0\0"))).not.toBeNull();
    },
  );

  test.each(pictures)(
    "that is a %s is read from its own bytes only",
    (_, bytes) => {
      const around = joined("before", bytes, new Uint8Array(99).fill(120));
      expect(readImage(around.subarray(6, 6 + bytes.length))).toEqual(
        readImage(bytes),
      );
      for (let length = 0; length < bytes.length; length++) {
        expect(readImage(around.subarray(6, 6 + length))).toBeNull();
      }
    },
  );

  test("is as large as the largest in it, whatever its first header says", () => {
    const small = gif(5, 3);
    // The frame, not the screen.
    small.set([0xff, 0xff], small.indexOf(0x2c) + 5);
    expect(readImage(small)?.width).toBe(65_535);
    expect(readImage(ico(png(1, 1), png(2000, 1)))?.width).toBe(2000);
  });

  test("of an icon shares no bytes with another, nor lies outside", () => {
    const shared = ico(png(1, 1), png(1, 1));
    shared.set(shared.subarray(18, 22), 34);
    expect(readImage(shared)).toBeNull();
    const outside = ico(bitmap(1, 1));
    outside[18] = outside.length;
    expect(readImage(outside)).toBeNull();
  });

  test.each([
    ["nothing", ""],
    ["zeros", "\0".repeat(100)],
    ["SVG", "<svg xmlns='http://www.w3.org/2000/svg'/>"],
    ["HTML", "<!doctype html><script>alert(1)</script>"],
    ["a script that begins like a GIF", "GIF89a/*\0\0\0*/=1;alert(1)//;"],
    ["a script that begins like a bitmap", "BM/*\0\0*/=1;"],
    ["a cursor", "\0\0\x02\0\x01\0"],
    ["an icon of nothing", "\0\0\x01\0\0\0"],
    ["a JPEG without a size", "\xff\xd8\xff\xda\0\x02\xff\xd9"],
    ["a PNG with another beginning", "\x89PNG\r\n\x1a\n\0\0\0\0IEND\0\0\0\0"],
    ["PDF", "%PDF-1.7"],
  ])("is not %s", (_, text) => {
    expect(readImage(joined(text))).toBeNull();
  });
});
