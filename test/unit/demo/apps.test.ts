import { describe, expect, test } from "bun:test";
import type { RunContext, WorldIntegration } from "../../../src/demo/app.ts";
import { calendarApp } from "../../../src/demo/apps/calendar.ts";
import { contactsApp } from "../../../src/demo/apps/contacts.ts";
import { notesApp } from "../../../src/demo/apps/notes.ts";
import { openDemoDatabase } from "../../../src/demo/database.ts";

const MONDAY_NOON = Date.parse("2026-03-02T12:00:00Z");

/** The app as a new tenant finds it, at a time that the test moves. */
function opened(app: WorldIntegration) {
  const clock = { now: MONDAY_NOON };
  const database = openDemoDatabase(":memory:", () => clock.now);
  const context: RunContext = {
    tenant: { key: "ada", name: "Ada" },
    action: { id: "a", key: null },
    connection: null,
    signal: new AbortController().signal,
    now: () => clock.now,
    rows: (name) => database.rows("ada", name),
    gate: async () => {},
  };
  app.seed?.(context);
  return {
    clock,
    // Each test says by its assertions what it expects to come back.
    run(key: string, input: unknown = {}): any {
      const action = app.actions.find((one) => one.key === key);
      if (action === undefined) throw new Error(`No action ${key}`);
      return action.run(input, context);
    },
  };
}

const messageOf = (run: () => unknown): string => {
  try {
    run();
  } catch (thrown) {
    return (thrown as Error).message;
  }
  throw new Error("Expected it to throw");
};

describe("notes", () => {
  test("are listed with pinned ones first, then the latest change", () => {
    const { run, clock } = opened(notesApp);
    clock.now += 1000;
    run("create-note", { title: "Newer" });
    clock.now += 1000;
    const groceries = run("search-notes", { query: "lemons" }).notes[0];
    run("update-note", { id: groceries.id, tags: ["shop"] });
    expect(
      run("list-notes").notes.map((note: { title: string }) => note.title),
    ).toEqual(["Welcome", "Groceries", "Newer", "Ideas for the offsite"]);
  });

  test("keep what an update leaves out", () => {
    const { run } = opened(notesApp);
    const note = run("create-note", { title: "A", content: "text" });
    run("update-note", { id: note.id, title: "B" });
    expect(run("find-note", { id: note.id })).toMatchObject({
      title: "B",
      content: "text",
    });
  });

  test("are gone after they were deleted", () => {
    const { run } = opened(notesApp);
    const { id } = run("create-note", { title: "A" });
    expect(run("delete-note", { id })).toEqual({ id, deleted: true });
    expect(messageOf(() => run("find-note", { id }))).toBe(
      `Note "${id}" not found`,
    );
  });

  test("can be narrowed to a tag, and counted beyond the limit", () => {
    const { run } = opened(notesApp);
    expect(run("list-notes", { tag: "work" }).notes).toHaveLength(1);
    const { notes, total } = run("list-notes", { limit: 1 });
    expect([notes.length, total]).toEqual([1, 3]);
  });
});

describe("calendar", () => {
  test("shows the coming week in order, and not what is over", () => {
    const { run, clock } = opened(calendarApp);
    const titles = () =>
      run("list-events").events.map((event: { title: string }) => event.title);
    expect(titles()).toEqual(["Stand-up", "Lunch with Grace", "Dentist"]);
    clock.now = Date.parse("2026-03-03T13:00:00Z");
    expect(titles()).toEqual(["Dentist"]);
  });

  test("puts an event where its time zone says", () => {
    const { run } = opened(calendarApp);
    expect(
      run("create-event", {
        title: "Call",
        start: "2026-03-02T15:00:00+01:00",
        durationMinutes: 30,
      }),
    ).toMatchObject({
      start: "2026-03-02T14:00:00.000Z",
      end: "2026-03-02T14:30:00.000Z",
      status: "confirmed",
    });
  });

  test("finds the gaps that are long enough, and a cancelled event leaves one", () => {
    const { run } = opened(calendarApp);
    const free = () =>
      run("find-free-time", {
        from: "2026-03-03T09:00:00Z",
        to: "2026-03-03T14:00:00Z",
        durationMinutes: 90,
      }).free;
    expect(free()).toEqual([
      { start: "2026-03-03T09:15:00.000Z", end: "2026-03-03T12:00:00.000Z" },
    ]);
    const lunch = run("list-events").events[1];
    run("cancel-event", { id: lunch.id });
    expect(free()).toEqual([
      { start: "2026-03-03T09:15:00.000Z", end: "2026-03-03T14:00:00.000Z" },
    ]);
    expect(run("list-events").events).toHaveLength(2);
    expect(run("list-events", { includeCancelled: true }).events).toHaveLength(
      3,
    );
  });

  test("refuses a range that ends before it begins, and a time without a zone", () => {
    const { run } = opened(calendarApp);
    const range = { from: "2026-03-03T09:00:00Z", to: "2026-03-02T09:00:00Z" };
    expect(messageOf(() => run("list-events", range))).toBe(
      '"to" has to be later than "from"',
    );
    expect(
      messageOf(() =>
        run("create-event", { title: "A", start: "2026-03-02T15:00:00" }),
      ),
    ).toBe('Validation error: "start": Invalid ISO datetime');
  });
});

describe("contacts", () => {
  test("do not share an e-mail address, but keep their own", () => {
    const { run } = opened(contactsApp);
    const created = run("create-contact", {
      name: "Jane",
      email: "jane@example.com",
    });
    expect(
      messageOf(() =>
        run("create-contact", { name: "Joe", email: "JANE@example.com" }),
      ),
    ).toContain("already has the e-mail address");
    expect(
      run("update-contact", { id: created.id, email: "Jane@example.com" }),
    ).toMatchObject({ name: "Jane", email: "Jane@example.com" });
  });

  test("are listed by name, and found by any of their words", () => {
    const { run } = opened(contactsApp);
    expect(
      run("list-contacts").contacts.map((one: { name: string }) => one.name),
    ).toEqual(["Ada Lovelace", "Alan Kay", "Grace Hopper"]);
    expect(run("search-contacts", { query: "compilers grace" }).total).toBe(1);
    expect(run("list-contacts", { stage: "lead" }).total).toBe(1);
  });

  test("are refused with a stage that does not exist", () => {
    const { run } = opened(contactsApp);
    expect(
      messageOf(() =>
        run("create-contact", { name: "A", email: "a@b.co", stage: "friend" }),
      ),
    ).toStartWith('Validation error: "stage": ');
  });
});
