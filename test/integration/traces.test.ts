import { describe, expect, test } from "bun:test";
import { createRest } from "../support/absent-servers.ts";
import { openRig } from "../support/app.ts";
import type { Rig } from "../support/app.ts";
import { call, listTools } from "../support/caller.ts";
import type { CollectedSpan } from "../support/collector.ts";
import { openCollector } from "../support/collector.ts";
import { openReceiver } from "../support/receiver.ts";
import { openFullServer } from "../support/servers/full.ts";
import { openLegacyServer } from "../support/servers/legacy-v1.ts";
import type { RecordedRequest } from "../support/servers/recording.ts";
import { headersFor, request } from "../support/stateless.ts";

/** Where a request stands in a trace, from the client to whoever is behind us. */

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";
const traceparent = `00-${TRACE}-${SPAN}-01`;
const other = "00-11111111111111111111111111111111-2222222222222222-01";
const tracestate = "congo=t61rcWkgMzE";

const open = (env: Record<string, string> = {}) =>
  openRig({
    env: {
      OUTBOUND_ALLOW: "127.0.0.0/8",
      TOKEN_SCOPES: "apps:admin",
      OTEL_EXPORTER_OTLP_ENDPOINT: "",
      ...env,
    },
  });

async function register(rig: Rig, name: string, url: string): Promise<void> {
  const rest = createRest(rig.url);
  const token = await rig.tokenFor("ada");
  const made = await rest(token, "POST /servers", { name, url });
  expect(made.body).toMatchObject({ state: "ready" });
}

/** What Membrane was sent by the last run of an action. */
const lastRun = (rig: Rig) =>
  rig.workspace.requests.findLast(({ path }) => path.endsWith("/run"))!;
/** What a server was sent by the last call of a tool. */
const lastCall = ({ requests }: { requests: RecordedRequest[] }) =>
  requests.findLast(({ body }) => body?.method === "tools/call")!;
const traceOf = (header: string | undefined) => header?.split("-")[1];
const spanOf = (header: string | undefined) => header?.split("-")[2];

describe("without a collector", () => {
  // Demanded: traces-through
  test("the trace of a request goes on to Membrane and to servers as it came, and baggage does not", async () => {
    await using both = await openFullServer();
    await using older = await openLegacyServer();
    await using rig = await open();
    await register(rig, "both", both.url);
    await register(rig, "older", older.url);
    const session = { "mcp-session-id": await rig.open("ada") };
    const headers = { ...session, traceparent, tracestate, baggage: "a=b" };
    for (const tool of ["lab_echo", "both_echo", "older_echo"]) {
      const answer = await rig.post("ada", call(tool, { text: "x" }), headers);
      expect(answer.body.result.isError).not.toBe(true);
    }
    const run = lastRun(rig);
    expect(run.headers).toMatchObject({ traceparent, tracestate });
    expect(run.headers).not.toContainKey("baggage");
    for (const server of [both, older]) {
      const { headers, body } = lastCall(server);
      expect(headers).toMatchObject({ traceparent, tracestate });
      expect(headers).not.toContainKey("baggage");
      const { _meta } = body.params;
      expect(_meta).toMatchObject({ traceparent, tracestate });
      expect(_meta).not.toContainKey("baggage");
    }
    const logged = rig.lines.filter((line) => line["trace"] === TRACE);
    expect(logged.map((line) => line["tool"])).toEqual([
      "lab_echo",
      "both_echo",
      "older_echo",
    ]);
  });

  // Demanded: traces-through
  test("that of a message is the one that counts, in every era", async () => {
    await using rig = await open();
    const session = { "mcp-session-id": await rig.open("ada") };
    const params = (name: string) => ({
      name,
      arguments: { text: "x" },
      _meta: { traceparent, tracestate, baggage: "a=b" },
    });
    const legacy = {
      jsonrpc: "2.0",
      id: 5,
      method: "tools/call",
      params: params("lab_echo"),
    };
    for (const headers of [session, { ...session, traceparent: other }]) {
      await rig.post("ada", legacy, headers);
      expect(lastRun(rig).headers).toMatchObject({ traceparent, tracestate });
      expect(lastRun(rig).headers).not.toContainKey("baggage");
    }
    const before = rig.workspace.requests.length;
    await rig.post(
      "ada",
      request("tools/call", params("lab_echo")),
      headersFor("tools/call", "lab_echo"),
    );
    expect(rig.workspace.requests.length).toBeGreaterThan(before);
    expect(lastRun(rig).headers).toMatchObject({ traceparent, tracestate });
    const traces = rig.lines
      .filter((line) => line["tool"] === "lab_echo")
      .map((line) => line["trace"]);
    expect(traces).toEqual([TRACE, traceOf(other), TRACE]);
  });

  test("calls of plain REST pass theirs on too", async () => {
    await using rig = await open();
    const response = await fetch(`${rig.url}/tools/lab_echo/call`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${await rig.tokenFor("ada")}`,
        "content-type": "application/json",
        traceparent,
      },
      body: JSON.stringify({ params: { text: "x" } }),
    });
    expect(response.status).toBe(200);
    expect(lastRun(rig).headers).toMatchObject({ traceparent });
  });

  test("one that is not well-formed is nothing, and nothing is begun in its place", async () => {
    await using both = await openFullServer();
    await using rig = await open();
    await register(rig, "both", both.url);
    const session = { "mcp-session-id": await rig.open("ada") };
    for (const wrong of ["x", `00-${"0".repeat(32)}-${SPAN}-01`]) {
      for (const tool of ["lab_echo", "both_echo"]) {
        await rig.post("ada", call(tool, { text: "x" }), {
          ...session,
          traceparent: wrong,
          tracestate,
        });
      }
      expect(lastRun(rig).headers).not.toContainAnyKeys([
        "traceparent",
        "tracestate",
      ]);
      const { headers, body } = lastCall(both);
      expect(headers).not.toContainAnyKeys(["traceparent", "tracestate"]);
      expect(body.params._meta ?? {}).not.toContainAnyKeys(["traceparent"]);
    }
    expect(rig.lines.some((line) => line["trace"] !== undefined)).toBe(false);
  });

  test("two calls at the same time of one user keep their own", async () => {
    await using both = await openFullServer();
    await using rig = await open();
    await register(rig, "both", both.url);
    const session = { "mcp-session-id": await rig.open("ada") };
    const traces = Array.from(
      { length: 8 },
      (_, i) => `00-${String(i + 1).repeat(32)}-${SPAN}-01`,
    );
    await Promise.all(
      traces.map((traceparent, i) =>
        rig.post("ada", call("both_echo", { text: `call ${i}` }, i + 1), {
          ...session,
          traceparent,
        }),
      ),
    );
    const calls = both.requests.filter(
      ({ body }) => body?.method === "tools/call",
    );
    expect(calls).toHaveLength(8);
    for (const { headers, body } of calls) {
      const number = Number(body.params.arguments.text.slice("call ".length));
      expect(headers["traceparent"]).toBe(traces[number]!);
      expect(body.params._meta.traceparent).toBe(traces[number]);
    }
  });
});

describe("with a collector", () => {
  const find = (
    spans: CollectedSpan[],
    kind: CollectedSpan["kind"],
    name: string,
  ) => {
    const found = spans.filter((one) => one.kind === kind && one.name === name);
    expect([kind, name, found.length]).toEqual([kind, name, 1]);
    return found[0]!;
  };

  // Demanded: traces-exported
  test("a call is one trace from the client's span to what Membrane and a server are sent", async () => {
    await using collector = openCollector();
    await using both = await openFullServer();
    const rig = await open({
      OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`,
      OTEL_EXPORTER_OTLP_HEADERS: "x-collector-key=of%20the%20operator",
      OTEL_SERVICE_NAME: "the-gateway",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
    });
    await register(rig, "both", both.url);
    const session = { "mcp-session-id": await rig.open("ada") };
    await rig.post("ada", call("lab_echo", { text: "x" }), {
      ...session,
      traceparent,
      tracestate,
    });
    const run = lastRun(rig).headers;
    const meta = { traceparent, tracestate };
    await rig.post(
      "ada",
      {
        jsonrpc: "2.0",
        id: "seven",
        method: "tools/call",
        params: { name: "both_echo", arguments: { text: "x" }, _meta: meta },
      },
      { ...session, traceparent: other },
    );
    const sent = lastCall(both);
    await rig[Symbol.asyncDispose]();

    const { spans } = collector;
    expect(collector.headers[0]!.get("x-collector-key")).toBe(
      "of the operator",
    );
    expect(spans[0]!.resource).toEqual({
      "service.name": "the-gateway",
      "service.version": "0.1.0",
      "deployment.environment.name": "test",
    });

    const ofTrace = spans.filter(({ traceId }) => traceId === TRACE);
    const http = find(ofTrace, "server", "POST /mcp");
    expect(http).toMatchObject({
      parentId: SPAN,
      failed: false,
      attributes: {
        "http.request.method": "POST",
        "http.route": "/mcp",
        "http.response.status_code": 200,
      },
    });
    const rpc = find(ofTrace, "server", "tools/call lab_echo");
    expect(rpc).toMatchObject({
      parentId: http.spanId,
      links: [],
      attributes: {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": "2025-11-25",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "lab_echo",
        "jsonrpc.request.id": "1",
      },
    });
    const client = find(ofTrace, "client", "POST /actions/{id}/run");
    expect(client.parentId).toBe(rpc.spanId);
    expect(run["traceparent"]).toBe(`00-${TRACE}-${client.spanId}-01`);
    expect(run["tracestate"]).toBe(tracestate);

    // The message has a trace of its own; what carried it is linked.
    const carrier = spans.find(({ traceId }) => traceId === traceOf(other))!;
    const message = find(ofTrace, "server", "tools/call both_echo");
    expect(message).toMatchObject({
      parentId: SPAN,
      links: [carrier.spanId],
    });
    const toServer = find(ofTrace, "client", "tools/call echo");
    expect(toServer).toMatchObject({
      parentId: message.spanId,
      attributes: {
        "mcp.method.name": "tools/call",
        "gen_ai.tool.name": "echo",
        "network.transport": "tcp",
        "server.address": "127.0.0.1",
      },
    });
    const told = `00-${TRACE}-${toServer.spanId}-01`;
    expect(sent.headers["traceparent"]).toBe(told);
    expect(sent.body.params._meta.traceparent).toBe(told);
    expect(rig.lines.find((line) => line["trace"] === TRACE)).toMatchObject({
      tool: "lab_echo",
    });
  });

  // Demanded: traces-through, traces-exported
  test("each attempt at a webhook is in the trace of what it tells of, and says so to its receiver", async () => {
    await using collector = openCollector();
    await using receiver = await openReceiver();
    const rig = await open({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    const rest = createRest(rig.url);
    const token = await rig.tokenFor("ada");
    const { body: webhook } = await rest(token, "POST /webhooks", {
      url: `${receiver.url}?key=hidden`,
      types: ["tool_executed"],
    });
    receiver.answer = (response, _, n) =>
      void response.writeHead(n === 1 ? 500 : 200).end();
    const session = { "mcp-session-id": await rig.open("ada") };
    await rig.post("ada", call("lab_echo", {}), { ...session, traceparent });
    await receiver.until(1);
    const at = `/webhooks/${webhook.id}/deliveries`;
    let waiting: any;
    while (!waiting) {
      const { body } = await rest(token, `GET ${at}?state=pending`);
      [waiting] = body.deliveries;
    }
    await rest(token, `POST ${at}/${waiting.id}/replay`);
    const [first, second] = await receiver.until(2);
    await rig[Symbol.asyncDispose]();

    const called = find(collector.spans, "server", "tools/call lab_echo");
    const sent = (status: number) =>
      collector.spans.find(
        ({ kind, attributes }) =>
          kind === "client" &&
          attributes["http.response.status_code"] === status &&
          attributes["peer.service"] === "webhook",
      )!;
    const common = { name: "POST", traceId: TRACE, parentId: called.spanId };
    expect(sent(500)).toMatchObject({
      ...common,
      failed: true,
      attributes: { "server.address": "127.0.0.1", "error.type": "500" },
    });
    expect(sent(200)).toMatchObject({
      ...common,
      failed: false,
      attributes: { "http.request.resend_count": 1 },
    });
    for (const [one, status] of [
      [first, 500],
      [second, 200],
    ] as const) {
      expect(one!.headers["traceparent"]).toBe(
        `00-${TRACE}-${sent(status).spanId}-01`,
      );
    }
    expect(collector.text()).not.toContain("hidden");
  });

  test("a request without a trace begins one, a failed one is marked, and one that is not to be recorded is not", async () => {
    await using collector = openCollector();
    const rig = await open({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    const session = { "mcp-session-id": await rig.open("ada") };
    await rig.post("ada", call("lab_fail-throw", { text: "x" }), session);
    const run = lastRun(rig).headers["traceparent"];
    await rig.post("ada", listTools, {
      ...session,
      traceparent: `00-${TRACE}-${SPAN}-00`,
    });
    await rig.post("ada", { jsonrpc: "2.0", id: 1, method: "x/y" }, session);
    await rig[Symbol.asyncDispose]();
    const { spans } = collector;
    const failed = find(spans, "server", "tools/call lab_fail-throw");
    expect(failed).toMatchObject({
      failed: true,
      attributes: { "error.type": "tool_error" },
    });
    const began = spans.find(({ spanId }) => spanId === failed.parentId)!;
    expect(began).toMatchObject({ parentId: "", name: "POST /mcp" });
    const client = find(spans, "client", "POST /actions/{id}/run");
    expect(client.failed).toBe(true);
    expect([traceOf(run), spanOf(run)]).toEqual([
      failed.traceId,
      client.spanId,
    ]);
    expect(spans.some(({ traceId }) => traceId === TRACE)).toBe(false);
    expect(find(spans, "server", "other").attributes).toMatchObject({
      "error.type": "-32601",
    });
  });

  test("no token, argument, result, query, user or URL is in what is exported", async () => {
    await using collector = openCollector();
    await using both = await openFullServer();
    const rig = await open({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      METRICS_PORT: "0",
    });
    await register(rig, "both", both.url);
    const user = "sentinel-user";
    const secret = "sentinel-secret";
    const token = await rig.tokenFor(user);
    const session = { "mcp-session-id": await rig.open(user) };
    for (const tool of ["lab_echo", "both_echo", "lab_fail-throw"]) {
      await rig.post(user, call(tool, { text: secret }), session);
    }
    await rig.post(
      null,
      listTools,
      {},
      `/mcp?token=${token}&chat=${secret}&apps=${secret}`,
    );
    await fetch(`${rig.url}/servers/${secret}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    await fetch(`${rig.url}/${secret}`, { headers: { "x-api-key": secret } });
    const at = String(
      rig.lines.find(({ event }) => event === "metrics")!["address"],
    );
    const metrics = await (await fetch(at)).text();
    await rig[Symbol.asyncDispose]();
    expect(collector.spans.length).toBeGreaterThan(8);
    const [, payload = "", signature = ""] = token.split(".");
    for (const told of [collector.text(), metrics]) {
      for (const part of [
        "sentinel",
        payload,
        signature,
        // Five digits alone may be any number.
        `:${new URL(both.url).port}`,
        session["mcp-session-id"],
      ]) {
        expect(told).not.toContain(part);
      }
    }
  });

  // Demanded: traces-exported
  test("one that refuses or is not there costs nobody anything but a line in the log", async () => {
    await using collector = openCollector(
      () => new Response("no", { status: 400 }),
    );
    for (const url of [collector.url, "http://127.0.0.1:9"]) {
      const rig = await open({ OTEL_EXPORTER_OTLP_ENDPOINT: url });
      const session = { "mcp-session-id": await rig.open("ada") };
      // More than one export, beside the last.
      for (let i = 0; i < 300; i++) {
        const answer = await rig.post("ada", listTools, session);
        expect(answer.status).toBe(200);
      }
      await rig[Symbol.asyncDispose]();
      const told = rig.lines.filter(({ event }) =>
        event.startsWith("traces could not"),
      );
      if (url === collector.url) {
        expect(collector.headers.length).toBeGreaterThan(1);
        expect(told).toEqual([
          {
            level: "warn",
            event: "traces could not be exported",
            reason: "400",
          },
        ]);
      }
      expect(told.length).toBeLessThan(2);
      expect(rig.lines.some(({ event }) => event === "stopped")).toBe(true);
    }
  });
});
