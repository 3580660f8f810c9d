/** A collector of OpenTelemetry, as far as it takes traces over HTTP in protobuf. */
export type Collector = AsyncDisposable & {
  url: string;
  spans: CollectedSpan[];
  /** Of the requests that brought them. */
  headers: Headers[];
  /** All bytes that came, as text. */
  text(): string;
  /** The same, and forgets everything. */
  take(): string;
  /** Resolves when there are spans of which this is true. */
  until(found: (span: CollectedSpan) => boolean): Promise<CollectedSpan>;
};

export type CollectedSpan = {
  traceId: string;
  spanId: string;
  /** Empty for a root. */
  parentId: string;
  name: string;
  kind: "server" | "client" | "other";
  attributes: Record<string, unknown>;
  /** Ids of spans. */
  links: string[];
  failed: boolean;
  resource: Record<string, unknown>;
};

/** `answer`: instead of 200. */
export function openCollector(answer?: () => Response): Collector {
  const spans: CollectedSpan[] = [];
  const headers: Headers[] = [];
  const bodies: Buffer[] = [];
  const text = () => Buffer.concat(bodies).toString("latin1");
  const waiting = new Set<() => void>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const body = Buffer.from(await request.arrayBuffer());
      if (request.method !== "POST" || !request.url.endsWith("/v1/traces")) {
        return new Response(null, { status: 404 });
      }
      if (request.headers.get("content-type") !== "application/x-protobuf") {
        return new Response(null, { status: 415 });
      }
      headers.push(request.headers);
      bodies.push(body);
      if (!answer) spans.push(...readSpans(body));
      for (const look of waiting) look();
      return (
        answer?.() ??
        new Response(new Uint8Array(), {
          headers: { "content-type": "application/x-protobuf" },
        })
      );
    },
  });
  // Of one that is shared by all nobody can say when it is over.
  server.unref();
  return {
    url: `http://127.0.0.1:${server.port}`,
    spans,
    headers,
    text,
    take() {
      const all = text();
      for (const kept of [bodies, spans, headers]) kept.length = 0;
      return all;
    },
    until: (found) =>
      new Promise((resolve) => {
        const look = () => {
          const span = spans.find(found);
          if (!span) return;
          waiting.delete(look);
          resolve(span);
        };
        waiting.add(look);
        look();
      }),
    async [Symbol.asyncDispose]() {
      await server.stop(true);
    },
  };
}

type Fields = Map<number, (Buffer | bigint)[]>;

/** A message of protobuf: what stands under each number, lengths as bytes and the rest as integers. */
function readMessage(bytes: Buffer): Fields {
  const fields: Fields = new Map();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number) => bytes.subarray(at, (at += length));
  while (at < bytes.length) {
    const tag = Number(varint());
    const wire = tag & 7;
    const value =
      wire === 0
        ? varint()
        : wire === 1
          ? take(8).readBigUInt64LE()
          : wire === 2
            ? take(Number(varint()))
            : BigInt(take(4).readUInt32LE());
    const number = tag >> 3;
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

const all = (fields: Fields, number: number) =>
  (fields.get(number) ?? []).map((bytes) => readMessage(bytes as Buffer));
const text = (fields: Fields, number: number) =>
  ((fields.get(number)?.[0] as Buffer | undefined) ?? "").toString();
const hex = (fields: Fields, number: number) =>
  ((fields.get(number)?.[0] as Buffer | undefined) ?? Buffer.of()).toString(
    "hex",
  );

function readAttributes(pairs: Fields[]): Record<string, unknown> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [value] = all(pair, 2);
      const [number, [is]] = [...value!][0]!;
      return [text(pair, 1), number === 1 ? String(is) : Number(is)];
    }),
  );
}

/** `ExportTraceServiceRequest` of opentelemetry-proto. */
function readSpans(body: Buffer): CollectedSpan[] {
  return all(readMessage(body), 1).flatMap((ofResource) => {
    const resource = readAttributes(
      all(ofResource, 1).flatMap((one) => all(one, 1)),
    );
    return all(ofResource, 2).flatMap((ofScope) =>
      all(ofScope, 2).map((span): CollectedSpan => {
        const kind = Number(span.get(6)?.[0] ?? 0);
        return {
          traceId: hex(span, 1),
          spanId: hex(span, 2),
          parentId: hex(span, 4),
          name: text(span, 5),
          kind: kind === 2 ? "server" : kind === 3 ? "client" : "other",
          attributes: readAttributes(all(span, 9)),
          links: all(span, 13).map((link) => hex(link, 2)),
          failed: all(span, 15).some((status) => status.get(3)?.[0] === 2n),
          resource,
        };
      }),
    );
  });
}
