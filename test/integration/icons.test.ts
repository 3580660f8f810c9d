import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { defaultIcon, findIcon } from "../../src/gateway/servers/icons.ts";
import { readImage } from "../../src/gateway/servers/image.ts";
import { createOutbound } from "../../src/runtime/outbound.ts";
import { fakeClock } from "../support/clock.ts";
import {
  bitmap,
  gif,
  hugePng,
  ico,
  joined,
  jpeg,
  png,
  pngChunk,
  webp,
} from "../support/pictures.ts";
import type { RawServer } from "../support/raw-server.ts";
import { rawServer } from "../support/raw-server.ts";

/** A server that has icons of every kind, and one beside it that must never be asked. */

const HERE = "127.0.0.2";
const clock = fakeClock();
const outbound = createOutbound({ allow: [HERE], userAgent: "x" });

type Served = () => Response;
let paths: Record<string, Served> = {};
let asked: { request: string; headers: string[] }[] = [];
let canary: RawServer;
const server = Bun.serve({
  hostname: HERE,
  port: 0,
  fetch(request) {
    asked.push({
      request: `${request.method} ${request.url}`,
      headers: [...request.headers.keys()].sort(),
    });
    const served = paths[new URL(request.url).pathname];
    return served?.() ?? new Response("none", { status: 404 });
  },
});
const base = `http://${HERE}:${server.port}`;
beforeAll(async () => {
  canary = await rawServer("127.0.0.1");
});
afterAll(async () => {
  await server.stop(true);
  await canary[Symbol.asyncDispose]();
});

const bytes = (data: Uint8Array, type = "image/png"): Served => {
  return () =>
    new Response(data as Uint8Array<ArrayBuffer>, {
      headers: { "content-type": type },
    });
};
/** What is found at a server that has these, and names those. */
async function find(
  served: Record<string, Served>,
  icons?: unknown,
  url = `${base}/mcp?key=secret`,
) {
  paths = served;
  asked = [];
  return findIcon({ outbound, clock }, { url, icons });
}
const named = (...sources: string[]) => sources.map((src) => ({ src }));

describe("an icon", () => {
  test.each([
    ["image/png", png(48, 48)],
    ["image/gif", gif(48, 48)],
    ["image/jpeg", jpeg(48, 48)],
    ["image/webp", webp("VP8L", 48, 48)],
    ["image/x-icon", ico(bitmap(16, 16), png(48, 48))],
  ])("of %s is kept as it is, under what its bytes are", async (type, data) => {
    // What is said of it is not what it is.
    const served = bytes(data, "image/vnd.microsoft.icon");
    expect(await find({ "/favicon.ico": served })).toEqual({
      type,
      etag: `"${createHash("sha256").update(data).digest("hex").slice(0, 32)}"`,
      bytes: data,
      fetchedAt: clock.now(),
    });
  });

  test("is what the server names first, and its favicon when that is nothing", async () => {
    const served = {
      "/first.png": bytes(png(1, 1)),
      "/second.png": bytes(png(2, 2)),
      "/favicon.ico": bytes(png(3, 3)),
    };
    const sizeOf = async (icons: unknown) => {
      const icon = await find(served, icons);
      return icon && readImage(icon.bytes)?.width;
    };
    expect(await sizeOf(named(`${base}/first.png`, `${base}/second.png`))).toBe(
      1,
    );
    expect(
      await sizeOf(named(`${base}/gone.png`, `${base}/second.png#x`)),
    ).toBe(2);
    for (const icons of [
      undefined,
      null,
      "nonsense",
      [null, 1, {}, { src: 1 }, { src: "http://" }],
      named("javascript:alert(1)", "file:///etc/passwd", "ws://x"),
      named("data:image/png;base64,%%%", "data:image/png,x"),
      [{ src: `${base}/first.png`, mimeType: "image/svg+xml" }],
    ]) {
      expect(await sizeOf(icons)).toBe(3);
    }
  });

  // Demanded: icons-without-credentials
  test("is asked for without anything that belongs to a user", async () => {
    await find({ "/icon.png": bytes(png(1, 1)) }, named(`${base}/icon.png`));
    expect(asked).toEqual([
      {
        request: `GET ${base}/icon.png`,
        headers: [
          "accept",
          "accept-encoding",
          "connection",
          "host",
          "user-agent",
        ],
      },
    ]);
  });

  test("in a data: URL is read where it is", async () => {
    const data = png(7, 7);
    const src = `data:image/png;charset=x;base64,${data.toBase64()}`;
    const icon = await find({}, named(src), "stdio:npx server");
    expect(icon?.bytes).toEqual(data);
    expect(asked).toEqual([]);
  });

  test("moves within its origin, and nowhere else", async () => {
    const to = (location: string): Served => {
      return () => new Response(null, { status: 302, headers: { location } });
    };
    expect(
      await find({
        "/favicon.ico": to("/static/icon.png"),
        "/static/icon.png": bytes(png(1, 1)),
      }),
    ).not.toBeNull();
    for (const location of [
      `http://127.0.0.1:${canary.port}/`,
      `http://localhost:${canary.port}/`,
      "file:///etc/passwd",
      "/favicon.ico",
    ]) {
      expect(await find({ "/favicon.ico": to(location) })).toBeNull();
    }
    expect(
      await find(
        {},
        named(
          `https://127.0.0.1:${canary.port}/`,
          `http://127.0.0.1:${canary.port}/`,
        ),
      ),
    ).toBeNull();
    expect(canary.accepted).toEqual([]);
  });

  test("over plain http is the server's own", async () => {
    await using other = await rawServer(HERE);
    await find({}, named(`http://${HERE}:${other.port}/icon.png`));
    expect(other.accepted).toEqual([]);
    expect(asked).toHaveLength(1);
  });

  test("is looked for at a few places only", async () => {
    const sources = Array.from({ length: 50 }, (_, n) => `${base}/${n}.png`);
    expect(await find({}, named(...sources))).toBeNull();
    expect(asked).toHaveLength(5);
  });
});

describe("no icon is", () => {
  const endless: Served = () =>
    new Response(
      new ReadableStream({
        pull: (controller) =>
          controller.enqueue(joined(png(1, 1), new Uint8Array(65_536))),
      }),
      { headers: { "content-type": "image/png" } },
    );
  const packed: Served = () =>
    new Response(
      gzipSync(joined(png(1, 1), new Uint8Array(64 * 1024 * 1024))),
      {
        headers: { "content-type": "image/png", "content-encoding": "gzip" },
      },
    );
  // Demanded: icons-pictures
  test.each<[string, Served]>([
    [
      "SVG with a script",
      bytes(
        joined("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        "image/svg+xml",
      ),
    ],
    ["SVG under another name", bytes(joined("<svg/>"), "image/png")],
    ["HTML named .png", bytes(joined("<script>alert(1)</script>"))],
    ["a picture that is said to be a page", bytes(png(1, 1), "text/html")],
    ["a picture and a page", bytes(joined(png(1, 1), "<script>"))],
    ["a picture and a script", bytes(joined(gif(1, 1), "=1;alert(1)"))],
    ["a picture wider than 1024 pixels", bytes(png(1025, 1))],
    ["a picture higher than 1024 pixels", bytes(png(1, 1025))],
    ["a picture of no size", bytes(png(0, 5))],
    ["a picture that unpacks to gigabytes", bytes(hugePng(50_000, 50_000))],
    ["a picture of ten thousand frames", bytes(gif(1, 1, 10_000))],
    [
      "more than 256 KiB",
      bytes(png(1, 1, pngChunk("tEXt", "x".repeat(262_144)))),
    ],
    ["an answer without end", endless],
    ["an answer that unpacks to too much", packed],
    ["an error", () => new Response(png(1, 1) as never, { status: 500 })],
    ["nothing", () => new Response(null, { status: 204 })],
  ])("%s", async (_what, served) => {
    expect(await find({ "/favicon.ico": served })).toBeNull();
    expect(asked).toHaveLength(1);
  });

  test("what is too large in a data: URL", async () => {
    const data = png(1, 1, pngChunk("tEXt", "x".repeat(262_144)));
    const src = `data:image/png;base64,${data.toBase64()}`;
    expect(await find({}, named(src))).toBeNull();
  });

  test("that of a server which is gone", async () => {
    const gone = await rawServer(HERE);
    await gone[Symbol.asyncDispose]();
    const url = `http://${HERE}:${gone.port}/mcp`;
    expect(await find({}, undefined, url)).toBeNull();
  });
});

test("the icon for those without one is a picture itself", () => {
  expect(readImage(defaultIcon.bytes)).toEqual({
    type: "image/png",
    width: 64,
    height: 64,
    frames: 1,
  });
  expect(defaultIcon.type).toBe("image/png");
  expect(defaultIcon.etag).toMatch(/^"[0-9a-f]{32}"$/);
});
