import type { ErrorCode } from "../core/errors.ts";
import { GatewayError } from "../core/errors.ts";
import type {
  AuthType,
  SetupStep,
  Transport,
  UpstreamState,
} from "../core/upstream.ts";
import { exitCodes } from "./exit.ts";
import { printable } from "./table.ts";

/** The management API as the commands use it, wherever it answers. */

/** `path`: of the product, from its own slash on. */
export type ApiRequest = (
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: object,
) => Promise<ApiAnswer>;
/** `body`: null for what is no JSON. */
export type ApiAnswer = { status: number; body: unknown };

/** What the commands read of a server; it has more, which is shown as it is. */
export type Server = {
  id: number;
  workspaceUuid: string;
  name: string;
  slug: string;
  url: string;
  transport: Transport;
  state: UpstreamState;
  enabled: boolean;
  authType: AuthType;
  connected: boolean;
  memberCount: number;
  setupStep: SetupStep | null;
  lastError: { code: string; message: string; at: string } | null;
};

export type ServerTool = {
  name: string;
  description?: string;
  hash: string;
  status: "approved" | "changed";
  suspicious: string[];
};

export type ServerTest = {
  success: boolean;
  latencyMs: number;
  negotiationPath: string | null;
  protocolVersion: string | null;
  serverName: string | null;
  serverVersion: string | null;
  componentCounts: Record<
    "tools" | "prompts" | "resources" | "resourceTemplates",
    number
  > | null;
  failureClass: string | null;
  error: string | null;
};

/** What is refused is thrown with the code it was refused with, and with what its `detail` says as data. */
export type ServersApi = {
  list(): Promise<Server[]>;
  /** By slug, id, or a name that only one has. Throws `not_found` or `invalid`. */
  find(name: string): Promise<Server>;
  read(server: Server): Promise<Server>;
  /** Registers it, off. Throws `conflict` for a name or slug that one of them has already. */
  create(
    registration: { name: string },
    known: readonly Server[],
  ): Promise<Server>;
  enable(server: Server): Promise<Server>;
  disable(
    server: Server,
    options: { clearRegistration: boolean },
  ): Promise<Server>;
  remove(server: Server): Promise<void>;
  test(server: Server): Promise<ServerTest>;
  tools(server: Server): Promise<ServerTool[]>;
  approve(server: Server, tool: ServerTool): Promise<void>;
  members(server: Server): Promise<object[]>;
  /** Connects the caller to a server of `direct_auth`; null: without a token of their own. */
  link(server: Server, token: string | null): Promise<void>;
};

/**
 * `workspace`: the one that is named; `guess`: the one that is meant when none is named and there is no server yet to
 * tell.
 */
export function createServersApi(
  request: ApiRequest,
  { workspace, guess }: { workspace: string | null; guess: string | null },
): ServersApi {
  async function ask<T>(...asked: Parameters<ApiRequest>): Promise<T> {
    const answer = await request(...asked);
    if (answer.status < 300 && answer.body !== null) return answer.body as T;
    throw refusalOf(answer);
  }

  const serversOf = (key: string) =>
    `/api/v2/w/${encodeURIComponent(key)}/mcp-servers`;
  const at = ({ workspaceUuid, id }: Server, rest = "") =>
    `${serversOf(workspaceUuid)}/${id}${rest}`;

  const list = () =>
    ask<Server[]>(
      "GET",
      workspace === null
        ? "/app-connections/mcp-servers"
        : serversOf(workspace),
    );

  return {
    list,
    find: async (name) => findServer(await list(), name),
    read: (server) => ask("GET", at(server)),
    async create(registration, known) {
      const { name } = registration;
      const same = known.find(
        (server) => server.name === name || server.slug === name,
      );
      if (same) {
        throw new GatewayError(
          "conflict",
          `There is a server ${printable(same.slug)} of that name already. Choose another name, or remove it first.`,
        );
      }
      const key = workspace ?? known[0]?.workspaceUuid ?? guess;
      if (key === null) {
        throw new GatewayError(
          "invalid",
          "There is no server yet that tells which workspace this is. Name it with --workspace.",
        );
      }
      return ask("POST", serversOf(key), registration);
    },
    enable: (server) => ask("POST", at(server, "/enable"), {}),
    disable: (server, { clearRegistration }) =>
      ask(
        "POST",
        at(server, `/disable?clear_registration=${clearRegistration}`),
        {},
      ),
    remove: (server) => ask("DELETE", at(server)),
    test: (server) => ask("POST", at(server, "/test"), {}),
    async tools(server) {
      const { tools } = await ask<{ tools: ServerTool[] }>(
        "GET",
        at(server, "/tools"),
      );
      return tools;
    },
    approve: (server, { name, hash }) =>
      ask("POST", at(server, `/tools/${encodeURIComponent(name)}/approve`), {
        hash,
      }),
    members: (server) => ask("GET", at(server, "/members")),
    link: (server, token) =>
      ask("POST", at(server, "/credentials"), token === null ? {} : { token }),
  };
}

function findServer(servers: readonly Server[], name: string): Server {
  const found =
    servers.find(({ slug }) => slug === name) ??
    servers.find(({ id }) => String(id) === name);
  if (found) return found;
  const [only, ...others] = servers.filter((server) => server.name === name);
  if (only && others.length === 0) return only;
  if (only) {
    const slugs = [only, ...others].map(({ slug }) => printable(slug));
    throw new GatewayError(
      "invalid",
      `${slugs.length} servers have that name. Say which: ${slugs.join(", ")}.`,
    );
  }
  throw new GatewayError(
    "not_found",
    `There is no server ${printable(name)}. membrane-mcp servers list shows them.`,
  );
}

/** What an answer that is none of success says, as an error of ours. */
function refusalOf({ status, body }: ApiAnswer): GatewayError {
  const { code, detail, error, reason } = record(body);
  const facts = {
    ...(typeof reason === "string" ? { reason } : {}),
    ...record(detail),
  } as Record<string, unknown>;
  const words = [detail, facts["message"], error].find(
    (said): said is string => typeof said === "string",
  );
  const known = typeof code === "string" && Object.hasOwn(exitCodes, code);
  if (words === undefined) {
    return new GatewayError(
      "upstream_failed",
      `The answer, with status ${status}, is not of a membrane-mcp. Is that the address of one?`,
    );
  }
  return new GatewayError(
    known ? (code as ErrorCode) : (codes[status] ?? "upstream_failed"),
    printable(words),
    { data: facts },
  );
}

/** For refusals that come before a route, and say no code. */
const codes: Record<number, ErrorCode> = {
  400: "invalid",
  401: "unauthenticated",
  403: "forbidden",
  404: "not_found",
  413: "invalid",
};

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)
    : {};
}

export function readAnswer(answer: {
  status: number;
  text: string;
}): ApiAnswer {
  const { status, text } = answer;
  try {
    return { status, body: JSON.parse(text) };
  } catch {
    return { status, body: null };
  }
}
