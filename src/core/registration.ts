import { z } from "zod";
import { GatewayError } from "./errors.ts";
import { once } from "./once.ts";
import { identityPart } from "./principal.ts";
import type { AuthType, ManualClient, SharedSecret } from "./upstream.ts";
import { reservedHeaders, reservedSlugs, slug } from "./upstream.ts";

/** What somebody says of a server when it is registered or changed. Members that are not known are refused. */

/** Shapes of what is said: of a server on the network, of a program of this machine, and of a change. */
export const shapes = once(() => {
  // A name, or a value, of a header, as it may be sent.
  const headerName = z
    .string()
    .max(100)
    .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "is not the name of a header")
    .refine(
      (name) => !reservedHeaders.has(name.toLowerCase()),
      "is a header of the transport, which cannot be set",
    );
  const headerValue = z
    .string()
    .min(1)
    .max(8192)
    .regex(
      /^[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?$/,
      "must be printable ASCII, without a line break",
    );

  const headers = z
    .record(headerName, headerValue)
    .refine((all) => {
      const names = Object.keys(all).map((name) => name.toLowerCase());
      return new Set(names).size === names.length;
    }, "has a header twice")
    .refine((all) => {
      const { length } = Object.keys(all);
      return length >= 1 && length <= 20;
    }, "must have 1 to 20 headers");

  const oauthScope = z
    .string()
    .regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/, "is no OAuth scope");

  const plain = z.strictObject({ type: z.enum(["none", "direct_auth"]) });
  const bearer = z.strictObject({
    type: z.literal("bearer"),
    token: headerValue,
  });
  const apiKey = z.strictObject({
    type: z.literal("api_key"),
    token: headerValue,
    header: headerName.optional(),
  });
  const custom = z.strictObject({ type: z.literal("headers"), headers });
  const oauth = z.strictObject({
    type: z.literal("oauth"),
    clientId: headerValue.max(2048).optional(),
    /** Null: the client has none. */
    clientSecret: headerValue.nullable().optional(),
    scopes: z.array(oauthScope).max(50).optional(),
  });

  const authentication = z.discriminatedUnion("type", [
    plain,
    bearer,
    apiKey,
    custom,
    oauth,
  ]);
  // What is left out of a change stays.
  const authenticationChange = z.discriminatedUnion("type", [
    plain,
    bearer.partial({ token: true }),
    apiKey.partial({ token: true }),
    custom.partial({ headers: true }),
    oauth,
  ]);

  const URL_FORM =
    "must be an http or https URL without user name, password and fragment";
  const url = z
    .string()
    .max(2048)
    .transform((text, context) => {
      const parsed = /[\s\p{Cc}#\\]/u.test(text) ? null : URL.parse(text);
      const fine =
        parsed !== null &&
        /^https?:$/.test(parsed.protocol) &&
        parsed.username === "" &&
        parsed.password === "";
      if (fine) return parsed.href;
      context.addIssue(URL_FORM);
      return z.NEVER;
    });

  const transport = z
    .enum(["http", "streamable_http", "sse"], {
      error: ({ input }) =>
        input === "stdio"
          ? "stdio servers are registered on the machine that runs them: membrane-mcp servers add"
          : "must be http or sse",
    })
    .transform((name) => (name === "http" ? "streamable_http" : name));

  const described = {
    name: identityPart.max(100),
    description: z
      .string()
      .max(2000)
      .regex(/^[^\p{Cc}]*$|^([^\p{Cc}]|[\n\t\r])*$/u, "has control characters")
      .nullable(),
    appUuid: identityPart.max(100).nullable(),
    pinned: z.boolean(),
  };
  // Without one it is made from the name.
  const ownSlug = slug.optional();

  /** A server on the network. */
  const registration = z.strictObject({
    name: described.name,
    slug: ownSlug,
    description: described.description.default(null),
    appUuid: described.appUuid.default(null),
    pinned: described.pinned.default(false),
    // Before the URL, so that who asks for stdio is told of that.
    transport: transport.default("streamable_http"),
    url,
    authentication: authentication.default({ type: "none" }),
  });

  /** A program of this machine that speaks over its standard input and output. */
  const stdioRegistration = z.strictObject({
    name: described.name,
    slug: ownSlug,
    description: described.description.default(null),
    pinned: described.pinned.default(false),
    transport: z.literal("stdio"),
    command: z.string().min(1).max(4096),
    args: z.array(z.string().max(8192)).max(100).default([]),
    cwd: z.string().min(1).max(4096).nullable().default(null),
    env: z
      .record(
        z
          .string()
          .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "is not a variable's name"),
        z.string().max(32_768),
      )
      .default({}),
  });

  /** What may be changed of a server; what is left out stays. */
  const registrationChange = z
    .strictObject({
      ...described,
      url,
      transport,
      authentication: authenticationChange,
    })
    .partial();

  return {
    registration,
    stdioRegistration,
    registrationChange,
    authenticationChange,
    url,
  };
});

type Shapes = ReturnType<typeof shapes>;
type Output<Name extends keyof Shapes> = z.output<Shapes[Name]>;

export type Registration = Output<"registration"> | Output<"stdioRegistration">;
export type RegistrationChange = Output<"registrationChange">;

/** How a server's requests are let in, in the terms of what is stored. */
export type Authentication = {
  authType: AuthType;
  /** Null: none is given, so that the one before stays if it can. */
  secret: SharedSecret | null;
  /** Null: nothing is said of a client. */
  client: ManualClient | null;
};

export function readAuthentication(
  given: Output<"authenticationChange">,
): Authentication {
  const { type } = given;
  const none = { authType: type, secret: null, client: null };
  switch (type) {
    case "none":
    case "direct_auth":
      return none;
    case "bearer":
      return given.token === undefined
        ? none
        : { ...none, secret: { token: given.token } };
    case "api_key": {
      const { token, header } = given;
      if (token === undefined) {
        if (header === undefined) return none;
        throw new GatewayError(
          "invalid",
          "authentication.token: is needed with another header, since the stored one cannot be read.",
        );
      }
      return {
        ...none,
        secret: { token, ...(header === undefined ? {} : { header }) },
      };
    }
    case "headers":
      return given.headers === undefined
        ? none
        : { ...none, secret: { headers: given.headers } };
    case "oauth": {
      const { clientId, clientSecret, scopes } = given;
      const client: ManualClient = {
        ...(clientId === undefined ? {} : { clientId }),
        ...(clientSecret === undefined ? {} : { clientSecret }),
        ...(scopes === undefined ? {} : { scopes }),
      };
      return Object.keys(client).length === 0 ? none : { ...none, client };
    }
  }
}

/** The types whose secret is everybody's. */
export const sharedAuthTypes: ReadonlySet<AuthType> = new Set([
  "bearer",
  "api_key",
  "headers",
]);

/** The URL of a server as those see it who may not change it: its query may hold what is as good as a password. */
export function withoutValues(url: string): string {
  const [path, ...query] = url.split("?");
  if (query.length === 0 || !/^https?:/.test(url)) return url;
  const hidden = query
    .join("?")
    .split("&")
    .map((pair) => {
      // What has no name is the value.
      const at = pair.indexOf("=") + 1;
      return pair.slice(0, at) + (pair.length > at ? "***" : "");
    });
  return `${path}?${hidden.join("&")}`;
}

const MAX_SLUG = 32;

/**
 * A slug for a display name that is not among those taken. Throws `invalid` for a name that would lead to one of our
 * own URLs.
 */
export function slugOf(name: string, taken: ReadonlySet<string>): string {
  const wanted = cut(
    name
      .normalize("NFKD")
      .replace(/\p{M}+/gu, "")
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-"),
    MAX_SLUG,
  );
  const base = wanted === "" ? "server" : wanted;
  if (reservedSlugs.has(base)) {
    throw new GatewayError(
      "invalid",
      `name: ${base} is a name of our own URLs. Choose another one.`,
    );
  }
  let slug = base;
  for (let n = 2; taken.has(slug); n++) {
    slug = `${cut(base, MAX_SLUG - `-${n}`.length)}-${n}`;
  }
  return slug;
}

function cut(text: string, max: number): string {
  return text.replace(/^-+/, "").slice(0, max).replace(/-+$/, "");
}
