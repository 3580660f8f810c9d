import { z } from "zod";
import { mentions } from "../paging.ts";
import { typedAction } from "../typed-action.ts";
import { badRequest, notFound, WireError } from "../wire-error.ts";
import type { Collection, Row, WorldIntegration } from "../app.ts";

const stages = ["lead", "customer", "partner", "former"] as const;

type Contact = {
  name: string;
  email: string;
  phone: string | null;
  company: string | null;
  stage: (typeof stages)[number];
};

const id = z
  .string()
  .min(1)
  .describe("Id of the contact, as list-contacts shows it");
const fields = {
  name: z
    .string()
    .min(1)
    .max(200)
    .describe("Full name")
    .meta({ examples: ["Jane Doe"] }),
  email: z.email().describe("E-mail address; no two contacts share one"),
  phone: z
    .string()
    .max(40)
    .describe("Phone number with country code")
    .meta({ examples: ["+49 30 901820"] }),
  company: z.string().max(200).describe("Where the contact works"),
  stage: z
    .enum(stages)
    .describe(
      "Where the contact stands: not yet, still, or no longer a customer",
    ),
};
const limit = z
  .int()
  .min(1)
  .max(100)
  .default(20)
  .describe("Most contacts to return");

const contact = z.object({
  id: z.string(),
  name: z.string(),
  email: z.string(),
  phone: z.string().nullable(),
  company: z.string().nullable(),
  stage: z.enum(stages),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});
const contacts = z.object({ contacts: z.array(contact), total: z.int() });

/** Contacts: a small CRM. */
export const contactsApp: WorldIntegration = {
  key: "contacts",
  name: "Contacts",
  description: "People and where they stand",
  actions: [
    typedAction({
      key: "list-contacts",
      name: "List contacts",
      description:
        "Returns contacts in alphabetical order. Can be narrowed to one stage or company.",
      type: "list-data-records",
      input: z.object({
        stage: fields.stage.optional(),
        company: fields.company.optional(),
        limit,
      }),
      output: contacts,
      run: (input, { rows }) =>
        shown(
          rows<Contact>("contacts")
            .list()
            .filter(
              (one) =>
                (input.stage === undefined || one.stage === input.stage) &&
                (input.company === undefined ||
                  one.company?.toLowerCase() === input.company.toLowerCase()),
            ),
          input.limit,
        ),
    }),
    typedAction({
      key: "search-contacts",
      name: "Search contacts",
      description:
        "Returns the contacts whose name, e-mail address, phone number or company contains every word of the query.",
      type: "search-data-record",
      input: z.object({
        query: z.string().min(1).max(200).describe("Words to look for"),
        limit,
      }),
      output: contacts,
      run: (input, { rows }) =>
        shown(
          rows<Contact>("contacts")
            .list()
            .filter((one) =>
              mentions(input.query, [
                one.name,
                one.email,
                one.phone ?? "",
                one.company ?? "",
              ]),
            ),
          input.limit,
        ),
    }),
    typedAction({
      key: "find-contact-by-id",
      name: "Find contact by id",
      description: "Returns one contact.",
      type: "find-data-record-by-id",
      input: z.object({ id }),
      output: contact,
      run: (input, { rows }) => existing(rows<Contact>("contacts"), input.id),
    }),
    typedAction({
      key: "create-contact",
      name: "Create contact",
      description:
        "Adds a contact and returns it with its id. Refused when another contact has the e-mail address.",
      type: "create-data-record",
      input: z.object({
        name: fields.name,
        email: fields.email,
        phone: fields.phone.optional(),
        company: fields.company.optional(),
        stage: fields.stage.default("lead"),
      }),
      output: contact,
      run(input, { rows }) {
        const all = rows<Contact>("contacts");
        refuseTaken(all, input.email, null);
        return all.insert({
          name: input.name,
          email: input.email,
          phone: input.phone ?? null,
          company: input.company ?? null,
          stage: input.stage,
        });
      },
    }),
    typedAction({
      key: "update-contact",
      name: "Update contact",
      description: "Changes a contact. What is left out stays as it is.",
      type: "update-data-record",
      input: z.object({
        id,
        name: fields.name.optional(),
        email: fields.email.optional(),
        phone: fields.phone.optional(),
        company: fields.company.optional(),
        stage: fields.stage.optional(),
      }),
      output: contact,
      run({ id: contactId, ...changes }, { rows }) {
        if (Object.keys(changes).length === 0) {
          throw badRequest("Nothing to change: pass at least one field");
        }
        const all = rows<Contact>("contacts");
        const old = existing(all, contactId);
        if (changes.email !== undefined) {
          refuseTaken(all, changes.email, contactId);
        }
        return all.update(contactId, {
          name: changes.name ?? old.name,
          email: changes.email ?? old.email,
          phone: changes.phone ?? old.phone,
          company: changes.company ?? old.company,
          stage: changes.stage ?? old.stage,
        });
      },
    }),
    typedAction({
      key: "delete-contact",
      name: "Delete contact",
      description: "Removes a contact for good.",
      type: "delete-data-record",
      input: z.object({ id }),
      output: z.object({ id: z.string(), deleted: z.boolean() }),
      run(input, { rows }) {
        const all = rows<Contact>("contacts");
        existing(all, input.id);
        return { id: input.id, deleted: all.remove(input.id) };
      },
    }),
  ],
  seed({ rows }) {
    const all = rows<Contact>("contacts");
    all.insert({
      name: "Ada Lovelace",
      email: "ada@example.com",
      phone: "+44 20 7946 0000",
      company: "Analytical Engines",
      stage: "customer",
    });
    all.insert({
      name: "Grace Hopper",
      email: "grace@example.com",
      phone: null,
      company: "Compilers & Co.",
      stage: "partner",
    });
    all.insert({
      name: "Alan Kay",
      email: "alan@example.com",
      phone: null,
      company: null,
      stage: "lead",
    });
  },
};

function existing(all: Collection<Contact>, contactId: string): Row<Contact> {
  const found = all.find(contactId);
  if (found === null) throw notFound(`Contact "${contactId}"`);
  return found;
}

function refuseTaken(
  all: Collection<Contact>,
  email: string,
  exceptId: string | null,
): void {
  const taken = all
    .list()
    .find(
      (one) =>
        one.id !== exceptId && one.email.toLowerCase() === email.toLowerCase(),
    );
  if (taken === undefined) return;
  throw new WireError(400, {
    type: "bad_request",
    key: "already_exists",
    message: `Contact "${taken.id}" already has the e-mail address ${email}`,
  });
}

function shown(found: Row<Contact>[], most: number) {
  const sorted = found.toSorted((a, b) => a.name.localeCompare(b.name));
  return { contacts: sorted.slice(0, most), total: found.length };
}
