import type { Credential } from "../core/upstream.ts";
import type { UpstreamTest } from "../gateway/servers/upstream-switch.ts";
import type { UpstreamView } from "../gateway/servers/upstreams.ts";

/** Registered servers and their members as REST clients see them. */

const at = (time: number | null) =>
  time === null ? null : new Date(time).toISOString();

/** `base`: our own address, without a slash at its end. */
export function serverResponse(
  { upstream, url, connected, members, iconToken }: UpstreamView,
  base: string,
) {
  const { about, lastError, workspace } = upstream;
  const info = about?.serverInfo;
  return {
    id: upstream.id,
    uuid: upstream.uuid,
    workspaceUuid: workspace,
    name: upstream.name,
    slug: upstream.slug,
    description: upstream.description,
    url,
    transport: upstream.transport,
    state: upstream.state,
    enabled: upstream.enabled,
    authType: upstream.authType,
    appUuid: upstream.appUuid,
    iconUrl: `${base}/api/v2/w/${encodeURIComponent(workspace)}/mcp-servers/${upstream.id}/icon?token=${iconToken}`,
    connected,
    memberCount: members,
    serverInfo: info ? { name: info.name, version: info.version } : null,
    protocolVersion: about?.protocolVersion ?? null,
    capabilities: about?.capabilities ?? null,
    instructions: about?.instructions ?? null,
    oauth: upstream.oauth && {
      issuer: upstream.oauth.issuer,
      clientId: upstream.oauth.clientId,
      registration: upstream.oauth.registration,
      scopes: upstream.oauth.scopes,
      hasClientSecret: upstream.oauth.hasClientSecret,
    },
    setupStep: upstream.setupStep,
    lastCheckedAt: at(upstream.lastCheckedAt),
    lastLatencyMs: upstream.lastLatencyMs,
    lastError: lastError && {
      code: lastError.code,
      message: lastError.message,
      at: at(lastError.at),
    },
    createdAt: at(upstream.createdAt),
    updatedAt: at(upstream.updatedAt),
    createdByMemberId: upstream.createdBy,
  };
}

export function memberResponse(credential: Credential) {
  return {
    memberId: credential.subject,
    name: credential.name,
    authType: credential.authType,
    status: credential.status,
    connectedAt: at(credential.connectedAt),
    expiresAt: at(credential.expiresAt),
    lastUsedAt: at(credential.lastUsedAt),
  };
}

export function testResponse(test: UpstreamTest, base: string) {
  const { probe } = test;
  const about = probe?.about;
  return {
    success: test.success,
    latencyMs: test.latencyMs,
    negotiationPath: probe?.negotiationPath ?? null,
    protocolVersion: about?.protocolVersion ?? null,
    serverName: about?.serverInfo.name ?? null,
    serverVersion: about?.serverInfo.version ?? null,
    capabilities: about?.capabilities ?? null,
    componentCounts: probe?.componentCounts ?? null,
    failureClass: test.failureClass,
    error: test.error,
    server: serverResponse(test.view, base),
  };
}

/** A list, and when the server gave it. */
export function listedResponse<T extends { fetchedAt: number }>(listed: T) {
  return { ...listed, fetchedAt: at(listed.fetchedAt) };
}
