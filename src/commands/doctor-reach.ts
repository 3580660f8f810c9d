import { createAuthenticator } from "../authentication.ts";
import type { Config } from "../config.ts";
import { GatewayError, asGatewayError } from "../core/errors.ts";
import type { Authenticator } from "../core/principal.ts";
import { originOf } from "../core/webhook.ts";
import { requireReachable } from "../gateway/events/webhooks.ts";
import { systemClock } from "../runtime/machine.ts";
import { createOutboundCheck } from "../runtime/outbound.ts";
import { probe } from "../runtime/probe.ts";
import { version } from "../version.ts";
import { NO_WEBHOOK_WORKSPACE } from "../webhooks.ts";

/** Whether all those answer whom a server needs: Membrane, the proxy before us, receivers of webhooks, the collector. */

/** One thing that was looked at. `fault` keeps the server from serving; `warning` will bite sooner or later. */
export type Finding = {
  check: string;
  level: "ok" | "warning" | "fault";
  message: string;
};

/** The leeway of token verification is half a minute. */
const SKEW_MS = 20_000;

/** Its API, our clock beside its own, who verifies tokens, and whose `token` is, if there is one. */
export async function examineMembrane(
  config: Config,
  token: string | null,
): Promise<Finding[]> {
  const check = "membrane";
  const uri = config.MEMBRANE_API_URI;
  const found: Finding[] = [];
  const answer = await probe(`${uri}/self`);
  if (answer === null) {
    found.push({
      check,
      level: "fault",
      message: `${uri} cannot be reached. Look at the network, the proxy settings and MEMBRANE_API_URI.`,
    });
  } else {
    found.push({ check, level: "ok", message: `${uri} answers.` });
    const skew = answer.date === null ? 0 : answer.date - systemClock.now();
    if (Math.abs(skew) > SKEW_MS) {
      found.push({
        check: "clock",
        level: "warning",
        message: `This machine's clock is ${Math.round(Math.abs(skew) / 1000)} s ${skew > 0 ? "behind" : "ahead of"} Membrane's: tokens will be refused at the wrong time. Synchronise it.`,
      });
    } else if (answer.date !== null) {
      found.push({
        check: "clock",
        level: "ok",
        message: "It agrees with Membrane's.",
      });
    }
  }
  let authenticator: Authenticator;
  try {
    authenticator = createAuthenticator(config, systemClock);
  } catch (error) {
    return [...found, fault("key", error)];
  }
  const keys = config.MEMBRANE_JWKS_URL;
  if (keys !== undefined && (await probe(keys))?.status !== 200) {
    found.push({
      check: "key",
      level: "fault",
      message: `${keys} does not answer with keys: no token can be verified. Look at the network and MEMBRANE_JWKS_URL.`,
    });
  }
  if (token !== null) {
    try {
      const { subject, workspace } = await authenticator.verify(token, null);
      found.push({
        check: "token",
        level: "ok",
        message: `It is that of ${subject} in workspace ${workspace}.`,
      });
    } catch (error) {
      found.push(fault("token", error));
    }
  }
  return found;
}

/** Whether it leads to a server, and is encrypted. */
export async function examinePublicUrl({
  PUBLIC_URL: url,
  HOST: host,
}: Config): Promise<Finding[]> {
  const check = "public URL";
  if (url === undefined) return [];
  const found: Finding[] = [];
  if (url.startsWith("http:") && !isLoopback(new URL(url).hostname)) {
    found.push({
      check,
      level: "warning",
      message: `${url} is not encrypted: tokens can be read on the way. Put a proxy with TLS in front.`,
    });
  }
  const answer = await probe(`${url}/health`);
  if (answer === null || answer.status !== 200) {
    found.push({
      check,
      level: "warning",
      message: `${url}/health ${answer === null ? "cannot be reached" : `answers with status ${answer.status}`}. If the server runs, look at the proxy: it has to pass ${url} on to ${host}.`,
    });
  } else {
    found.push({ check, level: "ok", message: `${url} leads to a server.` });
  }
  return found;
}

/** That of the environment; nothing is sent to it. */
export async function examineWebhook({
  WEBHOOK_URL: url,
  MEMBRANE_WORKSPACE_KEY: workspace,
  OUTBOUND_ALLOW: allow,
}: Config): Promise<Finding[]> {
  const check = "webhook";
  if (url === undefined) return [];
  if (workspace === undefined) {
    return [{ check, level: "fault", message: NO_WEBHOOK_WORKSPACE }];
  }
  const userAgent = `membrane-mcp/${version}`;
  const mayReach = createOutboundCheck({ allow, userAgent });
  try {
    await requireReachable(mayReach, url);
  } catch (error) {
    const message = `Nothing is sent to WEBHOOK_URL. ${asGatewayError(error).message}`;
    return [{ check, level: "warning", message }];
  }
  const message = `${originOf(url)} may be reached.`;
  return [{ check, level: "ok", message }];
}

/** Whether anybody is there; whether it takes spans only the log of a server tells. */
export async function examineCollector({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
}: Config): Promise<Finding[]> {
  const check = "traces";
  if (url === undefined) return [];
  const answer = await probe(`${url}/v1/traces`);
  return answer === null
    ? [
        {
          check,
          level: "warning",
          message: `${url} cannot be reached: traces are lost. Look at the collector and OTEL_EXPORTER_OTLP_ENDPOINT.`,
        },
      ]
    : [{ check, level: "ok", message: `${url} answers.` }];
}

/** A name or an address by which only this machine is reached. */
export function isLoopback(host: string): boolean {
  return (
    host === "localhost" ||
    host === "::1" ||
    host === "[::1]" ||
    /^127(\.\d{1,3}){3}$/.test(host)
  );
}

/** What was thrown, in the words that a start would use. */
export function fault(check: string, thrown: unknown): Finding {
  const error =
    thrown instanceof GatewayError ? thrown : asGatewayError(thrown);
  return { check, level: "fault", message: error.message };
}
