import { asGatewayError } from "../core/errors.ts";
import type { Entry, Reading } from "./entries.ts";
import { readEntries } from "./entries.ts";
import type { Outcome } from "./outcome.ts";
import { describeRegistration } from "./registration.ts";
import type { Server, ServersApi } from "./servers-api.ts";
import { formatTable, printable } from "./table.ts";

export type ImportOptions = { dryRun: boolean; enable: boolean };

/** What it exits with when not everything could be taken over. */
const INCOMPLETE = 1;

type Row = { name: string; done: string; words: string; failed: boolean };

/**
 * Registers what a client's file names, as far as it can be, and prints what became of each. What is there already is
 * left as it is.
 */
export async function importServers(
  source: string,
  { dryRun, enable }: ImportOptions,
  wiring: {
    api: ServersApi;
    at: Reading;
    /** The server runs somewhere else. */
    remote: boolean;
    outcomeOf: (server: Server) => Promise<Outcome>;
    print: (text: string) => void;
  },
): Promise<number> {
  const { api, at, remote, outcomeOf, print } = wiring;
  const entries = readEntries(source, at);
  const known = await api.list();
  const taken = new Set(known.flatMap(({ name, slug }) => [name, slug]));

  /** The row, or what it takes to know it. */
  async function take(entry: Entry): Promise<Row | (() => Promise<Row>)> {
    const { name } = entry;
    const row = (done: string, words: string, failed = false) => ({
      name,
      done,
      words,
      failed,
    });
    if ("skipped" in entry) return row("skipped", entry.skipped);
    if ("refused" in entry) return row("refused", entry.refused, true);
    if (taken.has(name)) return row("there already", "left as it is");
    taken.add(name);
    const { registration } = entry;
    if (registration.transport === "stdio" && remote) {
      const words =
        "it is a program: import it on the machine of the server, without --url";
      return row("refused", words, true);
    }
    const on = enable && entry.enabled;
    if (dryRun) {
      const words = describeRegistration(registration);
      return row("registered", on ? words : `${words}; off`);
    }
    try {
      const created = await api.create(registration, known);
      return on ? () => turnOn(created) : row("registered", "off");
    } catch (thrown) {
      return row("refused", asGatewayError(thrown).message, true);
    }
  }

  async function turnOn(created: Server): Promise<Row> {
    const row = { name: created.name, done: "registered" };
    try {
      const server = await api.enable(created);
      const { code, words } = await outcomeOf(server);
      const failed = code !== null && server.state !== "authorize";
      return { ...row, words, failed };
    } catch (thrown) {
      const words = asGatewayError(thrown).message;
      return { ...row, words, failed: true };
    }
  }

  const steps: (Row | (() => Promise<Row>))[] = [];
  // One after the other, in their order; only connecting them takes long, and goes on at the same time.
  for (const entry of entries) steps.push(await take(entry));
  const rows = await Promise.all(
    steps.map((step) => (typeof step === "function" ? step() : step)),
  );
  print(
    formatTable(
      ["SERVER", dryRun ? "WOULD BE" : "IS", ""],
      rows.map(({ name, done, words }) => [
        printable(name),
        done,
        printable(words),
      ]),
    ),
  );
  return rows.some(({ failed }) => failed) ? INCOMPLETE : 0;
}
