import { describe, expect, test } from "bun:test";
import { describeConfig, readConfig } from "../../src/config.ts";

const secret = "0123456789abcdef0123456789abcdef";

function faults(env: Record<string, string>): string {
  try {
    readConfig(env);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

describe("readConfig", () => {
  test("an empty environment is a working configuration", () => {
    expect(readConfig({})).toMatchObject({
      PORT: 3000,
      HOST: "127.0.0.1",
      DATA_DIR: "./data",
      MEMBRANE_API_URI: "https://api.getmembrane.com",
      TOKEN_IN_QUERY: true,
      SESSION_TTL: 30 * 24 * 3600 * 1000,
      EVENT_TTL: 24 * 3600 * 1000,
      TOOLS_PAGE_SIZE: 1500,
    });
  });

  test("an empty variable is one that is not set", () => {
    expect(readConfig({ PORT: "", PUBLIC_URL: "" }).PORT).toBe(3000);
  });

  test("every fault is named at once, and no value is shown", () => {
    const message = faults({
      PORT: "http",
      PUBLIC_URL: "mcp.example.com",
      ALLOWED_ORIGINS: "https://a.example/path",
      SESSION_TTL: "forever",
      TOKEN_IN_QUERY: "perhaps",
      LOG_LEVEL: "loud",
      MEMBRANE_WORKSPACE_SECRET: "hunter2",
    });
    for (const name of [
      "PORT",
      "PUBLIC_URL",
      "ALLOWED_ORIGINS",
      "SESSION_TTL",
      "TOKEN_IN_QUERY",
      "LOG_LEVEL",
    ]) {
      expect(message).toContain(`${name}: `);
    }
    expect(message).not.toContain("hunter2");
  });

  test("a webhook has a URL and a secret, or neither", () => {
    const whsec = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
    const url = "https://x.example/hook?key=hidden";
    expect(faults({ WEBHOOK_URL: url })).toContain("WEBHOOK_SECRET: ");
    expect(faults({ WEBHOOK_SECRET: whsec })).toContain("WEBHOOK_URL: ");
    for (const wrong of [secret, "whsec_", `${whsec},`, `${whsec},x`]) {
      const message = faults({ WEBHOOK_URL: url, WEBHOOK_SECRET: wrong });
      expect(message).toContain("WEBHOOK_SECRET: must be whsec_");
      expect(message).not.toContain(wrong.slice(6) || "hidden");
    }
    const config = readConfig({
      WEBHOOK_URL: url,
      WEBHOOK_SECRET: `${whsec}, ${whsec}`,
      WEBHOOK_RECEIVE_SECRET: whsec,
    });
    expect(config.WEBHOOK_SECRET).toEqual([
      new Uint8Array(32).fill(7),
      new Uint8Array(32).fill(7),
    ]);
    const shown = describeConfig(config);
    expect(shown).toContain("WEBHOOK_URL=https://x.example/…");
    expect(shown).toContain("WEBHOOK_SECRET=(set)");
    expect(shown).toContain("WEBHOOK_RECEIVE_SECRET=(set)");
  });

  test("a key for tokens needs the workspace that it is for", () => {
    expect(faults({ MEMBRANE_WORKSPACE_SECRET: secret })).toContain(
      "MEMBRANE_WORKSPACE_KEY",
    );
  });

  test("two kinds of keys at once are refused", () => {
    expect(
      faults({
        MEMBRANE_WORKSPACE_KEY: "w",
        MEMBRANE_WORKSPACE_SECRET: secret,
        MEMBRANE_PUBLIC_KEY: "x",
      }),
    ).toContain("cannot be combined");
  });

  test("a database is at least twice its journal, or without a limit", () => {
    const journal = { JOURNAL_MAX_BYTES: "8000000" };
    expect(faults({ ...journal, DATABASE_MAX_BYTES: "15999999" })).toContain(
      "twice JOURNAL_MAX_BYTES",
    );
    for (const most of ["0", "16000000"]) {
      readConfig({ ...journal, DATABASE_MAX_BYTES: most });
    }
  });

  test("a secret that could be guessed is refused, unless that is asked for", () => {
    const env = {
      MEMBRANE_WORKSPACE_KEY: "w",
      MEMBRANE_WORKSPACE_SECRET: "short",
    };
    expect(faults(env)).toContain("shorter than 32 bytes");
    expect(
      readConfig({ ...env, ALLOW_SHORT_SECRET: "true" })
        .MEMBRANE_WORKSPACE_SECRET,
    ).toBe("short");
  });

  test("what tokens may do is the most of what is named, and reading unless it is said", () => {
    expect(readConfig({}).TOKEN_SCOPES).toBe("apps:read");
    for (const [text, scope] of [
      ["none", null],
      ["apps:write", "apps:write"],
      ["apps:read, apps:admin ,apps:write", "apps:admin"],
    ] as const) {
      expect(readConfig({ TOKEN_SCOPES: text }).TOKEN_SCOPES).toBe(scope);
    }
    for (const text of ["apps:root", "admin", "apps:read,x", ","]) {
      expect(faults({ TOKEN_SCOPES: text })).toContain("one of none, apps:");
    }
    expect(describeConfig(readConfig({ TOKEN_SCOPES: "none" }))).toContain(
      "TOKEN_SCOPES=none",
    );
  });

  test("an encryption key that could be guessed is refused, and none is shown", () => {
    const good = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
    const [one, other] = [1, 2].map(() =>
      crypto.getRandomValues(new Uint8Array(32)).toBase64(),
    );
    for (const text of ["hunter2hunter2hu", good, `${one},hunter2`]) {
      const message = faults({ ENCRYPTION_KEY: text });
      expect(message).toContain("ENCRYPTION_KEY: must be 32 random bytes");
      expect(message).not.toContain("hunter2");
      expect(message).not.toContain(one!);
    }
    const config = readConfig({ ENCRYPTION_KEY: `${one},${other}` });
    expect(config.ENCRYPTION_KEY).toHaveLength(2);
    expect(describeConfig(config)).toContain("ENCRYPTION_KEY=(set)\n");
    expect(describeConfig(config)).not.toContain(one!);
  });

  test("durations are read with their unit", () => {
    expect(readConfig({ CALL_TIMEOUT: "90s" }).CALL_TIMEOUT).toBe(90_000);
    expect(readConfig({ EVENT_TTL: "36h" }).EVENT_TTL).toBe(36 * 3_600_000);
    expect(readConfig({ SESSION_TTL: "90d" }).SESSION_TTL).toBe(
      90 * 86_400_000,
    );
  });

  test("a duration that no timer can wait for is a fault", () => {
    for (const name of ["CALL_TIMEOUT", "PROGRESS_INTERVAL", "DRAIN_TIMEOUT"]) {
      expect(() => readConfig({ [name]: "30d" })).toThrow(`${name}: must be`);
    }
  });

  test("a proxy is an address or a network", () => {
    const good = "10.0.0.0/8,192.0.2.1,2001:db8::/32,::1";
    expect(readConfig({ TRUSTED_PROXIES: good }).TRUSTED_PROXIES).toHaveLength(
      4,
    );
    for (const bad of [
      "foo",
      "10.0.0.0/33",
      "10.0.0.1/8/8",
      "::1/129",
      "10.0.0.0/x",
    ]) {
      expect(() => readConfig({ TRUSTED_PROXIES: `127.0.0.1,${bad}` })).toThrow(
        `TRUSTED_PROXIES: ${bad} is not an address`,
      );
    }
  });
});

describe("what is told to who operates it", () => {
  const headers = "authorization=Bearer%20hunter2hunter2hunter2";
  const token = "hunter2.hunter2-hunter2";

  test("is nothing by default", () => {
    const config = readConfig({});
    expect(config.METRICS_PORT).toBeUndefined();
    expect(config.METRICS_TOKEN).toBeUndefined();
    expect(config.METRICS_HOST).toBe("127.0.0.1");
    expect(config.OTEL_EXPORTER_OTLP_ENDPOINT).toBeUndefined();
    expect(describeConfig(config)).toContain("OTEL_EXPORTER_OTLP_HEADERS=\n");
  });

  test("is set as OpenTelemetry sets it, and what is secret of it is not shown", () => {
    const config = readConfig({
      METRICS_PORT: "0",
      METRICS_TOKEN: token,
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318/",
      OTEL_EXPORTER_OTLP_HEADERS: headers,
      OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.25",
    });
    expect(config).toMatchObject({
      METRICS_PORT: 0,
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318",
      OTEL_TRACES_SAMPLER_ARG: 0.25,
    });
    const text = describeConfig(config);
    expect(text).toContain("METRICS_TOKEN=(set)\n");
    expect(text).toContain("OTEL_EXPORTER_OTLP_HEADERS=(set)\n");
    expect(text).not.toContain("hunter2");
  });

  test.each([
    ["METRICS_PORT", "65536"],
    ["METRICS_HOST", "0"],
    ["METRICS_TOKEN", "hunter2"],
    ["METRICS_TOKEN", "hunter2 hunter2 hunter2"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hunter2@collector"],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://:hunter2@collector"],
    ["WEBHOOK_URL", "https://:hunter2@hooks.example"],
    ["OTEL_EXPORTER_OTLP_HEADERS", "hunter2"],
    ["OTEL_EXPORTER_OTLP_HEADERS", "a=%hunter2"],
    ["OTEL_EXPORTER_OTLP_HEADERS", "a b=hunter2"],
    ["OTEL_TRACES_SAMPLER", "sometimes"],
    ["OTEL_TRACES_SAMPLER_ARG", "2"],
  ])("cannot be set wrongly without a word: %s=%s", (name, value) => {
    const message = faults({ [name]: value });
    expect(message).toContain(`${name}: `);
    expect(message).not.toContain("hunter2");
  });

  test.each([
    ["OTEL_TRACES_SAMPLER", "parentbased_traceidratio"],
    ["LOG_LEVEL", "debug, info, warn, error, silent"],
    ["LOG_FORMAT", "json, pretty"],
  ])("is chosen from what there is, which the fault names: %s", (name, all) => {
    const message = faults({ [name]: "sometimes" });
    expect(message).toMatch(new RegExp(`${name}: must be one of .*${all}$`));
  });

  test.each([
    [{ METRICS_PORT: "3000" }, true],
    [{ METRICS_PORT: "3000", HOST: "0.0.0.0" }, true],
    [{ METRICS_PORT: "3000", HOST: "localhost" }, true],
    [{ METRICS_PORT: "3000", HOST: "10.0.0.1", METRICS_HOST: "::" }, true],
    [{ METRICS_PORT: "3000", HOST: "10.0.0.1" }, false],
    [{ METRICS_PORT: "3001", HOST: "0.0.0.0" }, false],
    [{ METRICS_PORT: "0", PORT: "0" }, false],
  ])("%j has metrics where the server listens: %j", (env, same) => {
    const own = "METRICS_PORT: is that of the server itself (PORT)";
    if (same) expect(faults(env)).toContain(own);
    else readConfig(env);
  });
});

describe("what may be reached although it is not public", () => {
  test("is nothing by default", () => {
    expect(readConfig({}).OUTBOUND_ALLOW).toEqual([]);
  });

  test("is addresses, networks, names and the names of a domain", () => {
    const good =
      "10.0.0.0/8, 127.0.0.1, ::1, fd00::/8, my-server, my_server, *.example.internal, MCP.example.com";
    expect(readConfig({ OUTBOUND_ALLOW: good }).OUTBOUND_ALLOW).toHaveLength(8);
  });

  test.each([
    "10.0.0.0/33",
    "10.0.0.1/8/8",
    "127.1",
    "2130706433",
    "0x7f.1",
    "999.1.1.1",
    "*.127.0.0.1",
    "*",
    "*.",
    "*.*.example.com",
    "a.*.example.com",
    "my-server:8000",
    "http://my-server",
    "user@my-server",
    "my-server.",
    "my..server",
    "[::1]",
    "bücher.example",
    "①②⑦.0.0.1",
    "my server",
  ])("%s is named as a fault", (bad) => {
    expect(() =>
      readConfig({ OUTBOUND_ALLOW: `127.0.0.1,${bad},my-server` }),
    ).toThrow(`OUTBOUND_ALLOW: ${bad} is not an address, a network`);
  });
});

describe("describeConfig", () => {
  test("shows what is in effect in a form that can be set again, and no secret", () => {
    const text = describeConfig(
      readConfig({
        MEMBRANE_WORKSPACE_KEY: "w",
        MEMBRANE_WORKSPACE_SECRET: secret,
        ALLOWED_HOSTS: "a.example, b.example:8080",
      }),
    );
    expect(text).not.toContain(secret);
    expect(text).toContain("MEMBRANE_WORKSPACE_SECRET=(set)");
    expect(text).toContain("ALLOWED_HOSTS=a.example,b.example:8080");
    expect(text).toContain("SESSION_TTL=30d");
    const again = Object.fromEntries(
      text
        .split("\n")
        .map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string])
        .filter(([name]) => name !== "MEMBRANE_WORKSPACE_SECRET"),
    );
    expect(readConfig({ ...again, MEMBRANE_WORKSPACE_SECRET: secret })).toEqual(
      readConfig({
        MEMBRANE_WORKSPACE_KEY: "w",
        MEMBRANE_WORKSPACE_SECRET: secret,
        ALLOWED_HOSTS: "a.example,b.example:8080",
      }),
    );
  });

  test("a private key is refused where a public one belongs, and not shown", () => {
    for (const secret of [
      "-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----",
      '{"kty":"oct","k":"MIIsecret"}',
      '{"kty":"EC","crv":"P-256","x":"a","y":"b","d":"MIIsecret"}',
    ]) {
      let message = "";
      try {
        readConfig({
          MEMBRANE_WORKSPACE_KEY: "wk",
          MEMBRANE_PUBLIC_KEY: secret,
        });
      } catch (error) {
        ({ message } = error as Error);
      }
      expect(message).toContain(
        "MEMBRANE_PUBLIC_KEY: is a private or secret key",
      );
      expect(message).not.toContain("MIIsecret");
    }
  });

  test("an address in brackets is one without", () => {
    expect(readConfig({ HOST: "[::1]" }).HOST).toBe("::1");
    for (const HOST of ["*", "0", "a b", ""]) {
      if (HOST !== "")
        expect(() => readConfig({ HOST })).toThrow("HOST: must be");
    }
  });
});
