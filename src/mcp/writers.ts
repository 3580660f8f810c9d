/** SSE streams to requests of the stateless era, which nobody resumes: what is not read in time is lost. */
export type Writers = {
  /** `gone`: its reader has closed it. */
  open(gone: () => void): { readable: ReadableStream<string>; writer: Writer };
  /** Sends a heartbeat on each. */
  beat(): void;
  count(): number;
};

export type Writer = {
  /** False when its reader is too far behind to be told. */
  notify(text: string): boolean;
  send(text: string): void;
  close(): void;
};

/** What may wait for a reader, in characters. */
const MAX_BEHIND = 4_194_304;

export function createWriters(): Writers {
  const streams = new Set<{ beat(): unknown }>();

  function open(gone: () => void) {
    let controller!: ReadableStreamDefaultController<string>;
    let isOpen = true;
    const end = (how: () => void) => {
      if (!isOpen) return;
      isOpen = false;
      streams.delete(stream);
      how();
    };
    const enqueue = (text: string) => {
      if (isOpen) controller.enqueue(text);
    };
    const behind = () => isOpen && controller.desiredSize! <= 0;
    const message = (text: string) => `event: message\ndata: ${text}\n\n`;
    const stream = { beat: () => behind() || enqueue(": heartbeat\n\n") };
    const writer: Writer = {
      notify(text) {
        if (behind()) return false;
        enqueue(message(text));
        return true;
      },
      send: (text) => enqueue(message(text)),
      close: () => end(() => controller.close()),
    };
    const readable = new ReadableStream<string>(
      {
        start(c) {
          controller = c;
          c.enqueue(": open\n\n");
        },
        cancel: () => end(gone),
      },
      { highWaterMark: MAX_BEHIND, size: (text = "") => text.length },
    );
    streams.add(stream);
    return { readable, writer };
  }

  return {
    open,
    beat() {
      for (const stream of streams) stream.beat();
    },
    count: () => streams.size,
  };
}
