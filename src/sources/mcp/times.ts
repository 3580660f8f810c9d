/** How long things may take, in ms. */
export type Times = {
  /** From the request to connect until the handshake is made. */
  connect: number;
  /** After this a list goes on without the server; what comes later is told. */
  soon: number;
  /** All that a server lists. */
  list: number;
  /** Each kind of list of one member of one server is said to change at most this often. */
  changed: number;
  /** How long a question waits for it to become clear whose it is. */
  unclear: number;
  /** How long a call that has asked something waits for somebody to come back with the answer. */
  patience: number;
};

export const usualTimes: Times = {
  connect: 15_000,
  soon: 4000,
  list: 30_000,
  changed: 1000,
  unclear: 10_000,
  patience: 600_000,
};
