import { Database } from "bun:sqlite";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { mintToken } from "../../src/demo/token.ts";
import { readApiKey } from "../../src/gateway/api-key-text.ts";
import { databaseFile } from "../../src/store/sqlite/database.ts";
import { SECRET, WORKSPACE_KEY } from "../support/app.ts";
import { call, listTools } from "../support/caller.ts";
import { openCollector } from "../support/collector.ts";
import { openGateway } from "../support/gateway.ts";
import type { McpClientOptions } from "../support/mcp-clients.ts";
import { openMcpClient } from "../support/mcp-clients.ts";
import { until } from "../support/raw-server.ts";
import { openReceiver } from "../support/receiver.ts";
import { createSentinels } from "../support/sentinels.ts";
import { openOAuthServer } from "../support/servers/oauth-server.ts";
import { stdioServer } from "../support/servers/stdio.ts";
import { failing, openTattler } from "../support/servers/tattler.ts";
import { openSocket } from "../support/socket.ts";
import { answeredSecret } from "../support/suite-secrets.ts";

/** A secret in every place that there is for one, traffic over every door, and then a search of everything that is kept or told. */

const KEYS = `/api/v2/w/${WORKSPACE_KEY}/api-keys`;
const SERVERS = `/api/v2/w/${WORKSPACE_KEY}/mcp-servers`;
const AUDIT = `/api/v2/w/${WORKSPACE_KEY}/audit`;

async function openTown() {
  /** What is to be found nowhere, and what only the session that was answered with it may keep. */
  const secrets = createSentinels();
  const answered = createSentinels();
  const make = (place: string, where = secrets) =>
    where.keep(
      place,
      `${place.replaceAll(/\W/g, "-")}+/${crypto.randomUUID()}`,
    );
  const webhookSecret = (place: string) => {
    const bytes = crypto.getRandomValues(new Uint8Array(32));
    return `whsec_${Buffer.from(secrets.keep(place, bytes)).toString("base64")}`;
  };
  const key = crypto.getRandomValues(new Uint8Array(32));
  secrets.keep("the encryption key", key);
  secrets.keep("the workspace's secret", SECRET);
  const argument = make("an argument");
  const code = make("an elicited answer");
  const result = make("a result", answered);

  const resources = new AsyncDisposableStack();
  const failingReceiver = resources.use(await openReceiver());
  failingReceiver.answer = (response, one) =>
    response.writeHead(500, { "x-said": "no" }).end(JSON.stringify(one));
  const goodReceiver = resources.use(await openReceiver());
  const collector = resources.use(openCollector());
  const oauth = resources.use(await openOAuthServer());
  const open = async () => resources.use(await openTattler({ result }));
  const servers = {
    bearer: await open(),
    apikey: await open(),
    headers: await open(),
    own: await open(),
    paid: await open(),
    parrot: await open(),
  };
  const metricsToken = make("METRICS_TOKEN");
  const program = stdioServer("legacy", {
    SECRET_OF_IT: make("an environment"),
  });
  const gateway = await openGateway({
    key,
    apps: true,
    upstreams: [
      {
        slug: "bearer",
        at: servers.bearer.url,
        authentication: { type: "bearer", token: make("a bearer token") },
      },
      {
        slug: "apikey",
        at: servers.apikey.url,
        authentication: {
          type: "api_key",
          header: "X-Some-Key",
          token: make("an api_key"),
        },
      },
      {
        slug: "headers",
        at: servers.headers.url,
        authentication: {
          type: "headers",
          headers: { "X-One": make("a header"), Cookie: make("a cookie") },
        },
      },
      {
        slug: "paid",
        at: `${servers.paid.url}?api_key=${encodeURIComponent(make("a query"))}`,
      },
      {
        slug: "parrot",
        at: servers.parrot.url,
        authentication: {
          type: "bearer",
          token: answeredSecret(
            make("a bearer token that is told to callers", answered),
          ),
        },
      },
      {
        slug: "program",
        at: {
          ...program,
          args: [...program.args, make("an argument of a program")],
        },
      },
    ],
    env: {
      TRUSTED_PROXIES: "127.0.0.1",
      WEBHOOK_URL: `${failingReceiver.url}/${encodeURIComponent(make("WEBHOOK_URL's path"))}?key=${encodeURIComponent(make("WEBHOOK_URL's query"))}`,
      WEBHOOK_SECRET: webhookSecret("WEBHOOK_SECRET"),
      WEBHOOK_RECEIVE_SECRET: webhookSecret("WEBHOOK_RECEIVE_SECRET"),
      METRICS_TOKEN: metricsToken,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: `x-key=${encodeURIComponent(make("OTLP headers"))}`,
    },
  });
  resources.use(gateway);

  /** What anybody was told who may not know a secret, and where. */
  const told: [where: string, text: string][] = [];
  /** Asks, and remembers the answer among what may hold no secret. */
  async function ask(
    route: string,
    headers: Record<string, string> = {},
    body?: unknown,
  ) {
    const [method = "", path = ""] = route.split(" ");
    const response = await fetch(gateway.url + path, {
      method,
      redirect: "manual",
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const head = JSON.stringify([...response.headers]);
    told.push([`${method} ${path.split("?")[0]}`, head]);
    const text = await response.text();
    told.push([`${method} ${path.split("?")[0]}`, text]);
    return { status: response.status, text };
  }
  /** A token whose signature is looked for; the rest of it says who its user is. */
  const tokens = new Map<string, string>();
  async function tokenOf(user: string): Promise<string> {
    const token = tokens.get(user) ?? (await gateway.tokenFor(user));
    tokens.set(user, token);
    secrets.keep(`the token of ${user}`, token.split(".")[2]!);
    return token;
  }
  return {
    use: <One extends AsyncDisposable>(one: One) => resources.use(one),
    secrets,
    answered,
    make,
    argument,
    code,
    result,
    servers,
    oauth,
    collector,
    failingReceiver,
    goodReceiver,
    gateway,
    metricsToken,
    told,
    ask,
    tokenOf,
    bearer: async (user: string) => ({
      authorization: `Bearer ${await tokenOf(user)}`,
    }),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
type Town = Awaited<ReturnType<typeof openTown>>;

/** Servers whose secrets are nobody's but theirs and the gateway's. */
const slugs = ["bearer", "apikey", "headers", "paid", "own"] as const;

/** Members who call, each by a way of their own. */
const members = ["ann", "bob", "cleo", "dan", "eli", "fay", "gus", "hal"];

/** Calls a tool; everything that the caller is told. */
type Way = (tool: string, args: object) => Promise<string>;

/** Every door and every way to say who one is, each with a member of its own. */
async function openWays(town: Town): Promise<Record<string, Way>> {
  const { gateway, secrets, tokenOf, code, use } = town;
  const official = async (
    user: string,
    path: string,
    options: McpClientOptions,
  ): Promise<Way> => {
    const client = await openMcpClient(gateway.url + path, {
      token: await tokenOf(user),
      elicit: () => ({ action: "accept", content: { code } }),
      ...options,
    });
    use(client);
    return (tool, args) =>
      client.call(tool, { ...args }).then(
        (answer) => JSON.stringify(answer),
        (error: Error) => JSON.stringify([error.message, error]),
      );
  };
  const byHand =
    (
      user: string | null,
      path = "/mcp",
      headers: Record<string, string> = {},
    ): Way =>
    async (tool, args) =>
      (await gateway.post(user, call(tool, args), headers, path)).text;
  const socket = await openSocket(`${gateway.url}/ws`, {
    protocols: ["mcp", `bearer.${await tokenOf("dan")}`],
  });
  let id = 0;
  const key = await gateway.mintKey("gus");
  secrets.keep("an API key", readApiKey(key)!.secret);
  const plain = { accept: "application/json" };
  return {
    ann: await official("ann", "/mcp", { kind: "v1" }),
    bob: await official("bob", "/mcp", { kind: "stateless" }),
    cleo: await official("cleo", "/sse", { kind: "v1", sse: true }),
    dan: async (tool, args) =>
      JSON.stringify(await socket.ask(call(tool, args, ++id) as never)),
    eli: await official("eli", "/ws", { kind: "v1", ws: true }),
    fay: byHand(null, `/mcp?token=${await tokenOf("fay")}`, plain),
    gus: byHand(key, "/mcp", plain),
    hal: async (tool, params) => {
      const [slug = "", name = ""] = tool.split("_");
      const response = await fetch(
        `${gateway.url}/servers/${slug}/tools/${name}/call`,
        {
          method: "POST",
          headers: {
            "content-type": "application/json",
            ...(await town.bearer("hal")),
          },
          body: JSON.stringify({ params }),
        },
      );
      return response.text();
    },
  };
}

/** Each member brings a secret of their own to the server that wants one. */
async function connectMembers({ gateway, servers, make }: Town) {
  const { id } = await gateway.manage("POST", "", {
    name: "own",
    url: servers.own.url,
    transport: "http",
    authentication: { type: "direct_auth" },
  });
  const connect = (user: string) => {
    const token = make(`${user}'s own token`);
    return gateway.manage("POST", `/${id}/credentials`, { token }, {}, user);
  };
  await connect("admin");
  await gateway.manage("POST", `/${id}/enable`);
  for (const user of members) await connect(user);
}

/** The older transport's stream, and posts with its ticket, with another, and with none. */
async function openOldStream({
  gateway,
  tokenOf,
  secrets,
  told,
  ask,
  make,
}: Town) {
  const stream = await gateway.listen(await tokenOf("kim"), {}, "/sse");
  const { data } = await stream.until(({ event }) => event === "endpoint");
  const ticket = new URL(data!, gateway.url).searchParams.get("ticket")!;
  secrets.keep("the ticket of a stream", ticket);
  const { status } = await ask(`POST ${data}`, {}, listTools);
  expect(status).toBe(202);
  await stream.until(({ data: answer }) => Boolean(answer?.includes("tools")));
  const wrong = encodeURIComponent(make("another ticket"));
  for (const other of [data!.replace(ticket, wrong), data!.split("&")[0]]) {
    expect((await ask(`POST ${other}`, {}, listTools)).status).toBe(401);
  }
  told.push(["/sse", JSON.stringify(stream.events.slice(1))]);
}

/** Logs a member in, lets the token expire, and has it renewed. */
async function authorize(town: Town) {
  const { gateway, oauth, secrets, told, ask, bearer, make } = town;
  const call = async () => {
    const path = "/servers/guarded/tools/test_simple_text/call";
    const headers = await bearer("ivy");
    return (await ask(`POST ${path}`, headers, { params: {} })).text;
  };
  const { id } = await gateway.manage("POST", "", {
    name: "guarded",
    url: oauth.url,
    transport: "http",
    authentication: { type: "oauth" },
  });
  await gateway.manage("POST", `/${id}/enable`).catch(() => {});
  await gateway.manage("POST", "", {
    name: "manual",
    url: oauth.url,
    transport: "http",
    authentication: {
      type: "oauth",
      clientId: "by-hand",
      clientSecret: make("a client's secret that was typed"),
    },
  });
  // For the member alone, who is not connected: it lets them be.
  const invited = await fetch(
    `${gateway.url}/servers/guarded/tools/test_simple_text/call`,
    {
      method: "POST",
      headers: { "content-type": "application/json", ...(await bearer("ivy")) },
      body: JSON.stringify({ params: {} }),
    },
  ).then((response) => response.text());
  const [, ticket] = /ticket=([\w.-]+)/.exec(invited)!;
  secrets.keep("the ticket of a link", ticket!);
  const link = `${SERVERS}/${id}/oauth/authorize?ticket=${ticket}`;
  expect((await fetch(gateway.url + link)).status).toBe(200);
  await ask(`GET ${link.slice(0, -4)}`);
  const begun = await fetch(`${gateway.url}${SERVERS}/${id}/oauth/authorize`, {
    headers: await bearer("ivy"),
    redirect: "manual",
  });
  const back = await oauth.consent(begun.headers.get("location")!, "alice");
  const cookie = begun.headers.getSetCookie()[0]!.split(";")[0]!;
  secrets.keep("the cookie of a login", cookie.split("=")[1]!);
  const { searchParams } = new URL(back);
  secrets.keep("a state", searchParams.get("state")!);
  secrets.keep("a code", searchParams.get("code")!);
  const done = await fetch(back, { headers: { cookie } });
  told.push(["the way back", await done.text()]);
  expect(done.status).toBe(200);
  const again = await fetch(back, { headers: { cookie } });
  told.push(["the way back, again", await again.text()]);
  expect(await call()).toContain("simple text");
  oauth.expireAll();
  expect(await call()).toContain("simple text");
  oauth.failTokens(500);
  oauth.expireAll();
  expect(await call()).not.toContain("simple text");
  for (const { path, headers, body } of oauth.requests) {
    if (!path.startsWith("/token")) continue;
    const basic = headers["authorization"]?.replace("Basic ", "");
    if (basic) {
      const [, secret = ""] = atob(basic).split(":");
      secrets.keep("a client's secret", decodeURIComponent(secret));
    }
    if (body.client_secret) {
      secrets.keep("a client's secret", body.client_secret);
    }
    if (body.code_verifier) secrets.keep("a verifier", body.code_verifier);
    if (body.refresh_token) secrets.keep("a refresh", body.refresh_token);
  }
  for (const { headers } of oauth.calls) {
    const token = headers["authorization"]?.replace("Bearer ", "");
    if (token) secrets.keep("an access token", token);
  }
}

/** What is no good, in each place where something good could stand. */
async function callWithWhatIsWrong(town: Town) {
  const { gateway, make, secrets, ask, told, metricsToken, bearer } = town;
  const forged = await mintToken({
    workspaceKey: WORKSPACE_KEY,
    secret: "another-secret-of-more-than-32-bytes",
    user: "mallory",
  });
  secrets.keep("a forged token", forged.split(".")[2]!);
  const expired = await gateway.tokenFor("mallory", { ttlSeconds: -60 });
  secrets.keep("an expired token", expired.split(".")[2]!);
  const wrong = [forged, expired, make("no token at all"), metricsToken];
  const statuses: number[] = [];
  /** Each from an address of its own: nobody is refused for having been wrong before. */
  const from = () => ({ "x-forwarded-for": `198.51.100.${statuses.length}` });
  for (const credential of wrong) {
    for (const headers of [
      { authorization: `Bearer ${credential}` },
      { authorization: `Basic ${btoa(credential)}` },
      { authorization: credential },
      { "x-api-key": credential },
      { "x-api-key": `mcpk_${credential}` },
    ]) {
      for (const route of ["POST /mcp", "POST /servers", "GET /sse"]) {
        const body = route.startsWith("POST") ? listTools : undefined;
        const all = { ...headers, ...from() };
        statuses.push((await ask(route, all, body)).status);
      }
    }
    const query = `?token=${encodeURIComponent(credential)}`;
    for (const route of ["POST /mcp", "POST /mcp/bearer", "GET /mcp/stream"]) {
      const body = route.startsWith("POST") ? listTools : undefined;
      statuses.push((await ask(`${route}${query}`, from(), body)).status);
    }
    const refused = await openSocket(`${gateway.url}/ws`, {
      protocols: ["mcp", `bearer.${credential.replaceAll("/", "_")}`],
      headers: from(),
    }).catch((error: Error) => error.message);
    told.push(["/ws", String(refused)]);
    const signature = { "x-mcp-signature": `t=1,v1=${credential}` };
    const { status } = await ask("POST /webhook/mcp", signature, {});
    statuses.push(status);
  }
  expect(new Set(statuses)).toEqual(new Set([401]));
  const [token = ""] = [await town.tokenOf("ann")];
  await ask(`POST /mcp?token=${token}`, await bearer("ann"), listTools);
  await ask(`GET /nowhere?token=${token}`);
  await ask(`DELETE ${KEYS}/mcpk_nothing?token=${token}`);
  await ask(`POST /mcp?mode=none&token=${token}`, {}, listTools);
  await ask("GET /metrics", await bearer("ann"));
}

async function useWebhooks(town: Town) {
  const { gateway, goodReceiver, failingReceiver, secrets, make, ask } = town;
  const headers = await town.bearer("admin");
  const rest = async (method: string, path: string, body?: object) => {
    const response = await fetch(`${gateway.url}/webhooks${path}`, {
      method,
      headers: { ...headers, "content-type": "application/json" },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const answer: any = await response.json();
    if (!response.ok) throw new Error(JSON.stringify(answer));
    if (answer.secret) {
      const bytes = Buffer.from(answer.secret.replace("whsec_", ""), "base64");
      secrets.keep(`the secret of a webhook (${method} ${path})`, bytes);
    }
    return answer;
  };
  const query = `/${encodeURIComponent(make("a webhook's path"))}?key=${encodeURIComponent(make("a webhook's query"))}`;
  const good = await rest("POST", "", { url: goodReceiver.url + query });
  const bad = await rest("POST", "", { url: failingReceiver.url + query });
  await rest("POST", `/${good.id}/rotate`, {});
  for (const { id } of [good, bad]) await rest("POST", `/${id}/test`);
  await ask(`POST /webhooks`, headers, { url: `nonsense${query}` });
}

/** All that somebody sees who may read everything and change nothing. */
async function lookAround(town: Town, key: string) {
  const { ask, metricsToken, bearer } = town;
  const headers = { "x-api-key": key };
  const hooks = JSON.parse((await ask("GET /webhooks", headers)).text);
  expect(hooks).toHaveLength(3);
  const all = JSON.parse((await ask(`GET ${SERVERS}`, headers)).text);
  for (const route of [
    "GET /servers",
    "GET /mcp/sessions",
    "GET /health",
    "GET /openapi.json",
    "GET /oauth/client.json",
    "GET /.well-known/oauth-protected-resource",
    `GET ${AUDIT}?limit=500`,
    `GET ${AUDIT}?format=ndjson`,
    `GET ${KEYS}`,
    ...hooks.flatMap(({ id }: any) => [
      `GET /webhooks/${id}`,
      `GET /webhooks/${id}/deliveries?limit=500`,
    ]),
    ...all.flatMap(({ id, slug }: any) => [
      `GET /servers/${slug}`,
      ...["", "/members", "/tools", "/prompts", "/resources"].map(
        (path) => `GET ${SERVERS}/${id}${path}`,
      ),
      `POST ${SERVERS}/${id}/test`,
    ]),
  ]) {
    await ask(route, headers);
  }
  for (const { id, slug } of all) {
    // Who may change it sees the whole URL of it.
    if (slug === "paid") continue;
    await ask(`GET ${SERVERS}/${id}`, await bearer("admin"));
  }
  await ask(`GET ${KEYS}`, await bearer("admin"));
  await ask("POST /mcp", headers, listTools);
  const scraped = await ask("GET /metrics", {
    authorization: `Bearer ${metricsToken}`,
  });
  expect(scraped.text).toContain("mcp_tool_calls_total");
}

/** Files in which something is, and columns of tables. */
function search({ gateway, secrets, answered }: Town) {
  const inFiles = readdirSync(gateway.directory, { recursive: true })
    .map((name) => join(gateway.directory, String(name)))
    .map((file) => [file, secrets.foundIn(readFileSync(file))] as const)
    .filter(([, places]) => places.length > 0);
  using database = new Database(databaseFile(gateway.directory), {
    readonly: true,
  });
  const inTables = database
    .query<{ name: string }, []>(
      "SELECT name FROM sqlite_schema WHERE type = 'table'",
    )
    .all()
    .filter(({ name }) => {
      const rows = database.query(`SELECT * FROM "${name}"`).all();
      return answered.foundIn(JSON.stringify(rows)).length > 0;
    })
    .map(({ name }) => name);
  return { inFiles, inTables };
}

// Demanded: secrets-nowhere, webhooks-thin
test("no secret of anybody is in the log, the files, metrics, spans, events, the audit, webhooks, or an answer to somebody else", async () => {
  await using town = await openTown();
  const { gateway, secrets, answered, servers, told, argument } = town;
  await connectMembers(town);
  const ways = await openWays(town);
  const reader = await gateway.mintKey("reader");
  secrets.keep("the key of a reader", readApiKey(reader)!.secret);
  const events = await gateway.listen(reader, {}, "/mcp/stream");
  await useWebhooks(town);

  for (const [nth, [user, way]] of Object.entries(ways).entries()) {
    for (const [i, tool] of failing.entries()) {
      const slug = slugs[(nth + i) % slugs.length]!;
      const text = await way(`${slug}_${tool}`, { argument });
      told.push([`${user}: ${slug}_${tool}`, text]);
      expect(text).toContain(slug);
      // Some that succeed: failures alone would have the server left alone for a while.
      if (i > 1) continue;
      expect(await way(`${slug}_quiet`, { argument })).toContain("done");
    }
    const words = { argument, words: argument };
    // On its standard error, which the log has for who asks for every detail.
    told.push([
      `${user}: program_complain`,
      await way("program_complain", words),
    ]);
    expect(await way("parrot_tells", { argument })).toContain(town.result);
    expect(await way("parrot_confesses", {})).toContain("headers");
  }
  const environment = await ways["fay"]!("program_env", {
    name: "SECRET_OF_IT",
  });
  expect(secrets.foundIn(environment)).toEqual(["an environment"]);
  // What is kept of a session is what it was answered with.
  for (const [i, user] of ["bob", "dan", "fay", "gus", "hal"].entries()) {
    for (const slug of [slugs[i]!, "own"]) {
      expect(await ways[user]!(`${slug}_confesses`, { argument })).toContain(
        argument,
      );
    }
  }
  for (const user of ["ann", "bob", "cleo", "eli"]) {
    for (const slug of ["bearer", "own"]) {
      expect(await ways[user]!(`${slug}_asks`, { argument })).toContain(
        "thanks",
      );
    }
  }
  const { faults } = gateway.workspace;
  // Its words are for the caller, whose token it is.
  const said = await town.tokenOf("fay");
  const fault = faults.add({
    match: "POST /actions",
    status: 500,
    body: { type: "internal_error", message: said, data: { said } },
  });
  expect(await ways["fay"]!("lab_echo", { argument })).toContain(said);
  fault.remove();
  await openOldStream(town);
  await authorize(town);
  await callWithWhatIsWrong(town);
  servers.headers.fail();
  await gateway.manage("POST", `/${await gateway.id("headers")}/test`);
  await lookAround(town, reader);

  // The last that is told of, to everybody who is told in order.
  const mark = `last-${crypto.randomUUID()}`;
  await gateway.mintKey(mark);
  await events.until(({ data }) => Boolean(data?.includes(mark)));
  const { received } = town.goodReceiver;
  await until(() => received.some(({ body }) => body.includes(mark)));
  const { received: refused } = town.failingReceiver;
  told.push(["/mcp/stream", JSON.stringify(events.events)]);
  const brought = [...received, ...refused].map(({ path: _to, ...all }) => all);
  told.push(["webhooks", JSON.stringify(brought)]);
  const found = [search(town)];
  await gateway.restart();
  found.push(search(town));
  const lines = gateway.lines.filter(
    ({ event, level }) => level !== "debug" || event !== "server process says",
  );
  told.push(["the log", JSON.stringify(lines)]);
  told.push(["spans", town.collector.text()]);

  expect(
    told
      .map(([where, text]) => [
        where,
        [...secrets.foundIn(text), ...answered.foundIn(text)],
      ])
      .filter(([, places]) => places!.length > 0),
  ).toEqual([]);
  for (const { inFiles, inTables } of found) {
    expect(inFiles).toEqual([]);
    // For the streams of the session that was answered with it.
    expect(inTables).toEqual(["events"]);
  }

  // Every one of them has been where it belongs.
  const reached = (slug: keyof typeof servers) =>
    secrets.foundIn(JSON.stringify(servers[slug].requests));
  expect(reached("bearer")).toEqual(
    expect.arrayContaining([
      "a bearer token",
      "an argument",
      "an elicited answer",
    ]),
  );
  expect(reached("apikey")).toContain("an api_key");
  expect(reached("headers")).toEqual(
    expect.arrayContaining(["a header", "a cookie"]),
  );
  expect(reached("paid")).toContain("a query");
  expect(reached("own")).toEqual(
    expect.arrayContaining(
      Object.keys(ways).map((who) => `${who}'s own token`),
    ),
  );
  const [exported] = town.collector.headers;
  expect(secrets.foundIn(exported!.get("x-key")!)).toEqual(["OTLP headers"]);
  expect(secrets.size()).toBeGreaterThan(45);
}, 120_000);
