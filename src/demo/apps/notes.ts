import { z } from "zod";
import { mentions } from "../paging.ts";
import { typedAction } from "../typed-action.ts";
import { badRequest, notFound } from "../wire-error.ts";
import type { Collection, Row, WorldIntegration } from "../app.ts";

type Note = { title: string; content: string; tags: string[]; pinned: boolean };

const id = z.string().min(1).describe("Id of the note, as list-notes shows it");
const title = z
  .string()
  .min(1)
  .max(200)
  .describe("Headline of the note")
  .meta({ examples: ["Groceries"] });
const content = z
  .string()
  .max(20_000)
  .describe("Text of the note, in Markdown");
const tags = z
  .array(z.string().min(1).max(50))
  .max(20)
  .describe("Words to file the note under");
const pinned = z
  .boolean()
  .describe("Whether the note stays on top of the list");
const limit = z
  .int()
  .min(1)
  .max(100)
  .default(20)
  .describe("Most notes to return");

const note = z.object({
  id: z.string(),
  title: z.string(),
  content: z.string(),
  tags: z.array(z.string()),
  pinned: z.boolean(),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});
const notes = z.object({ notes: z.array(note), total: z.int() });

/** Notes: a notebook that a newcomer can write into at once. */
export const notesApp: WorldIntegration = {
  key: "notes",
  name: "Notes",
  description: "A notebook with tags",
  actions: [
    typedAction({
      key: "list-notes",
      name: "List notes",
      description:
        "Returns the notes, pinned ones first, then the most recently changed. Can be narrowed to one tag.",
      type: "list-data-records",
      input: z.object({
        tag: z.string().min(1).optional().describe("Only notes with this tag"),
        limit,
      }),
      output: notes,
      run: (input, { rows }) =>
        shown(
          inOrder(rows<Note>("notes").list()).filter(
            (one) => input.tag === undefined || one.tags.includes(input.tag),
          ),
          input.limit,
        ),
    }),
    typedAction({
      key: "search-notes",
      name: "Search notes",
      description:
        "Returns the notes whose title, text or tags contain every word of the query.",
      type: "search-data-record",
      input: z.object({
        query: z
          .string()
          .min(1)
          .max(200)
          .describe("Words to look for, in any order and case"),
        limit,
      }),
      output: notes,
      run: (input, { rows }) =>
        shown(
          inOrder(rows<Note>("notes").list()).filter((one) =>
            mentions(input.query, [one.title, one.content, ...one.tags]),
          ),
          input.limit,
        ),
    }),
    typedAction({
      key: "find-note",
      name: "Find note by id",
      description: "Returns one note with its whole text.",
      type: "find-data-record-by-id",
      input: z.object({ id }),
      output: note,
      run: (input, { rows }) => existing(rows<Note>("notes"), input.id),
    }),
    typedAction({
      key: "create-note",
      name: "Create note",
      description: "Writes a new note and returns it with its id.",
      type: "create-data-record",
      input: z.object({
        title,
        content: content.optional(),
        tags: tags.optional(),
        pinned: pinned.optional(),
      }),
      output: note,
      run: (input, { rows }) =>
        rows<Note>("notes").insert({
          title: input.title,
          content: input.content ?? "",
          tags: input.tags ?? [],
          pinned: input.pinned ?? false,
        }),
    }),
    typedAction({
      key: "update-note",
      name: "Update note",
      description:
        "Changes a note. What is left out stays as it is; tags are replaced as a whole.",
      type: "update-data-record",
      input: z.object({
        id,
        title: title.optional(),
        content: content.optional(),
        tags: tags.optional(),
        pinned: pinned.optional(),
      }),
      output: note,
      run({ id: noteId, ...changes }, { rows }) {
        if (Object.keys(changes).length === 0) {
          throw badRequest("Nothing to change: pass at least one field");
        }
        const all = rows<Note>("notes");
        const old = existing(all, noteId);
        return all.update(noteId, {
          title: changes.title ?? old.title,
          content: changes.content ?? old.content,
          tags: changes.tags ?? old.tags,
          pinned: changes.pinned ?? old.pinned,
        });
      },
    }),
    typedAction({
      key: "delete-note",
      name: "Delete note",
      description: "Removes a note for good.",
      type: "delete-data-record",
      input: z.object({ id }),
      output: z.object({ id: z.string(), deleted: z.boolean() }),
      run(input, { rows }) {
        const all = rows<Note>("notes");
        existing(all, input.id);
        return { id: input.id, deleted: all.remove(input.id) };
      },
    }),
  ],
  seed({ rows }) {
    const all = rows<Note>("notes");
    all.insert({
      title: "Welcome",
      content:
        "These notes are kept by the demo workspace. Ask your agent to write one, then list them again.",
      tags: ["demo"],
      pinned: true,
    });
    all.insert({
      title: "Groceries",
      content: "- oat milk\n- lemons\n- bread",
      tags: ["home"],
      pinned: false,
    });
    all.insert({
      title: "Ideas for the offsite",
      content: "Boat trip, a long dinner, and no slides.",
      tags: ["work", "ideas"],
      pinned: false,
    });
  },
};

function existing(all: Collection<Note>, noteId: string): Row<Note> {
  const found = all.find(noteId);
  if (found === null) throw notFound(`Note "${noteId}"`);
  return found;
}

function inOrder(all: Row<Note>[]): Row<Note>[] {
  return all.toSorted(
    (a, b) =>
      Number(b.pinned) - Number(a.pinned) ||
      b.updatedAt.localeCompare(a.updatedAt),
  );
}

function shown(found: Row<Note>[], most: number) {
  return { notes: found.slice(0, most), total: found.length };
}
