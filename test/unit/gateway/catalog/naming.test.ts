import { describe, expect, test } from "bun:test";
import type { GivenName } from "../../../../src/core/name.ts";
import { nameTools } from "../../../../src/gateway/catalog/naming.ts";
import type { SourcedOffer } from "../../../../src/gateway/catalog/naming.ts";

function offer(
  app: string,
  key: string | null,
  more: { ref?: string; connection?: string; name?: string } = {},
): SourcedOffer {
  return {
    source: "membrane",
    offer: {
      app: { ref: more.connection ?? `con-${app}`, key: app, name: app },
      ref: more.ref ?? `act-${app}-${key}`,
      key,
      name: more.name ?? key ?? "unnamed",
      tool: { inputSchema: { type: "object" } },
    },
  };
}

/** Names over time, as a catalogue would keep them. */
function namer() {
  const given = new Map<string, string>();
  return (offers: SourcedOffer[]): Map<string, string> => {
    const known: GivenName[] = [...given].map(([ref, name]) => ({ ref, name }));
    const { named: tools, give } = nameTools(offers, known);
    for (const { ref, name } of give) given.set(ref, name);
    return new Map(
      tools.map((tool) => [
        `${tool.offer.app.ref}/${tool.offer.ref}`,
        tool.name,
      ]),
    );
  };
}

const nameOf = (
  names: Map<string, string>,
  { offer: { app, ref } }: SourcedOffer,
) => names.get(`${app.ref}/${ref}`);

describe("nameTools", () => {
  test("a tool is called after its app and action, and nothing has to be kept for it but its app", () => {
    const { named: tools, give } = nameTools(
      [offer("gmail", "send-email")],
      [],
    );
    expect(tools.map(({ name }) => name)).toEqual(["gmail_send-email"]);
    expect(give).toEqual([{ ref: "app:membrane:con-gmail", name: "gmail" }]);
  });

  test("of two connections of an app the first seen keeps the plain names, in whatever order they come later", () => {
    const name = namer();
    const first = offer("gmail", "send", { connection: "con-1" });
    const second = offer("gmail", "send", { connection: "con-0" });
    name([first]);
    const names = name([second, first]);
    expect(nameOf(names, first)).toBe("gmail_send");
    expect(nameOf(names, second)).toMatch(/^gmail-[0-9a-z]{6}_send$/);
    expect(name([first, second])).toEqual(names);
  });

  test("removing the first connection moves no name of the second", () => {
    const name = namer();
    const first = offer("gmail", "send", { connection: "con-1" });
    const second = offer("gmail", "send", { connection: "con-2" });
    const before = name([first, second]);
    const after = name([second]);
    expect(nameOf(after, second)).toBe(nameOf(before, second)!);
  });

  test("an app that was connected anew has its plain names back, and the old connection does not get them again", () => {
    const name = namer();
    const old = offer("gmail", "send", { connection: "con-1" });
    const anew = offer("gmail", "send", { connection: "con-2" });
    name([old]);
    expect(nameOf(name([anew]), anew)).toBe("gmail_send");
    const both = name([old, anew]);
    expect(nameOf(both, anew)).toBe("gmail_send");
    expect(nameOf(both, old)).toMatch(/^gmail-[0-9a-z]{6}_send$/);
  });

  test("keys with underscores that add up to one name get two, each for ever", () => {
    const name = namer();
    const a = offer("crm", "pro_list");
    const b = offer("crm_pro", "list");
    const names = name([a, b]);
    expect(nameOf(names, a)).toBe("crm_pro_list");
    expect(nameOf(names, b)).toMatch(/^crm_pro_list-[0-9a-z]{6}$/);
    expect(name([b, a])).toEqual(names);
    expect(nameOf(name([b]), b)).toBe(nameOf(names, b)!);
  });

  // Demanded: tool-names
  test("names are at most 64 characters of A-Z, a-z, 0-9, _ and -, and distinct", () => {
    const long = "x".repeat(80);
    const offers = [
      offer("app", `${long}a`),
      offer("app", `${long}b`),
      offer("äpp", "größe ändern!"),
      offer("app", null, { name: "日本語", ref: "one" }),
      offer("app", null, { name: "日本語", ref: "two" }),
      offer("app", "send email"),
      offer("app", "send-email"),
    ];
    const names = [...namer()(offers).values()];
    expect(new Set(names).size).toBe(offers.length);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
  });

  test("an action without a key keeps its name when it is called differently later", () => {
    const name = namer();
    const before = name([offer("app", null, { ref: "u1", name: "Send mail" })]);
    const after = name([
      offer("app", null, { ref: "u1", name: "Post letter" }),
    ]);
    expect([...before.values()]).toEqual(["app_Send-mail"]);
    expect(after).toEqual(before);
  });

  // Demanded: names-stay
  test("adding and removing actions and connections moves nobody else's name", () => {
    const name = namer();
    const all = ["a", "b", "a_b", "c"].flatMap((app) =>
      ["x", "b_x", "b x", "y".repeat(70)].flatMap((key) =>
        ["1", "2"].map((n) =>
          offer(app, key, { connection: `con-${app}-${n}` }),
        ),
      ),
    );
    const known = new Map<string, string>();
    let seed = 7;
    const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
    // Connections come one by one and stay known; what is listed of them changes.
    for (let round = 0; round < 200; round++) {
      const some = all
        .filter(() => random() < 0.6)
        .map((item) => ({ item, at: random() }))
        .sort((p, q) => p.at - q.at)
        .map(({ item }) => item);
      // One action of every connection is always there: a connection that is gone may lose its prefix.
      const anchored = all.filter(({ offer: { key } }) => key === "x");
      const names = name([...new Set([...some, ...anchored])]);
      for (const [ref, given] of names) {
        expect(known.get(ref) ?? given).toBe(given);
        known.set(ref, given);
      }
      expect(new Set(names.values()).size).toBe(names.size);
    }
    expect(known.size).toBe(all.length);
  });
});
