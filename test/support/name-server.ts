import { createSocket } from "node:dgram";

/** A small DNS server, whose answers are good for no time at all. */
export type NameServer = AsyncDisposable & {
  /** What it was asked, such as `A flip.test`, in its order. */
  asked: string[];
};

/** Address of a name for the nth question of its kind; a name is another name for that one. */
export type Records = Record<
  string,
  Partial<Record<"A" | "AAAA", (nth: number) => readonly string[]>>
>;

const types: Record<number, "A" | "AAAA"> = { 1: "A", 28: "AAAA" };

/** On port 53, where a resolver looks for it. Rejects when that is not permitted. */
export async function openNameServer(
  address: string,
  records: Records,
): Promise<NameServer> {
  const asked: string[] = [];
  const counts = new Map<string, number>();
  const socket = createSocket("udp4");
  socket.on("message", (message, from) => {
    const labels: string[] = [];
    let at = 12;
    while (message[at] !== 0) {
      const length = message[at]!;
      labels.push(message.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
    }
    const name = labels.join(".").toLowerCase();
    const type = types[message.readUInt16BE(at + 1)];
    const question = message.subarray(12, at + 5);
    const key = `${type} ${name}`;
    const nth = counts.get(key) ?? 0;
    counts.set(key, nth + 1);
    asked.push(key);
    const known = records[name];
    const answers = (type && known?.[type]?.(nth)) ?? [];
    const head = Buffer.alloc(12);
    message.copy(head, 0, 0, 2);
    // An answer, with recursion; of a name that does not exist when it does not.
    head.writeUInt16BE(known ? 0x8180 : 0x8183, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(answers.length, 6);
    const body = answers.map((answer) => {
      const data = bytesOf(answer);
      const record = Buffer.alloc(12);
      record.writeUInt16BE(0xc00c, 0);
      record.writeUInt16BE(answer.includes(":") ? 28 : 1, 2);
      record.writeUInt16BE(1, 4);
      record.writeUInt16BE(data.length, 10);
      return Buffer.concat([record, data]);
    });
    socket.send(
      Buffer.concat([head, question, ...body]),
      from.port,
      from.address,
    );
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject).bind(53, address, resolve);
  });
  return {
    asked,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => socket.close(() => resolve())),
  };
}

/** IPv6 only in full, without `::`, but for `::1`. */
function bytesOf(address: string): Buffer {
  if (!address.includes(":"))
    return Buffer.from(address.split(".").map(Number));
  const full = address === "::1" ? "0:0:0:0:0:0:0:1" : address;
  return Buffer.concat(
    full.split(":").map((group) => {
      const bytes = Buffer.alloc(2);
      bytes.writeUInt16BE(parseInt(group, 16));
      return bytes;
    }),
  );
}
