import { getCookie } from "hono/cookie";
import { asGatewayError, describeError, GatewayError } from "../core/errors.ts";
import { clientMetadata } from "../core/oauth.ts";
import type { Upstream, UpstreamStore } from "../core/upstream.ts";
import type { Connecting } from "../gateway/accounts/connecting.ts";
import { CONNECT_MS } from "../gateway/accounts/connecting.ts";
import type { Member } from "../gateway/accounts/grant.ts";
import { statusOf } from "./front.ts";
import { html, page } from "./page.ts";
import type { Ctx, Handlers } from "./routes.ts";

/**
 * GET POST /api/v2/w/:workspace/mcp-servers/:id/oauth/authorize
 * GET      /api/v2/w/:workspace/mcp-servers/oauth/callback
 * GET      /oauth/callback
 * GET      /oauth/client.json
 */

export type OAuthRouteOptions = {
  connecting: Connecting & {
    redirectUrl(): string;
    /** By which authorization servers know us that read our metadata. */
    clientId(): string;
  };
  upstreams: Pick<UpstreamStore, "find">;
  /** A digest that nobody else can make. */
  mac(purpose: string, text: string): string;
  /** Fresh, and not to be guessed. */
  secret(): string;
};

type OAuthRoute =
  | `${"GET" | "POST"} /api/v2/w/:workspace/mcp-servers/:id/oauth/authorize`
  | "GET /api/v2/w/:workspace/mcp-servers/oauth/callback"
  | "GET /oauth/callback"
  | "GET /oauth/client.json";

/** A link is confirmed in the browser that was shown what it does: nobody can send the form on their behalf. */
const PURPOSE = "oauth confirmation";

export function oauthRoutes(options: OAuthRouteOptions): Handlers<OAuthRoute> {
  const { connecting, upstreams, mac, secret } = options;

  const proofOf = (browser: string, ticket: string) =>
    mac(PURPOSE, `${browser}\n${ticket}`);
  /** One cookie for each link and flow, so that those in two tabs do not meet. */
  const ticketCookie = (ticket: string) => `connect-${mac("cookie", ticket)}`;
  const flowCookie = (flow: string) => `oauth-${flow}`;

  async function redirect(upstream: Upstream, member: Member) {
    const begun = await connecting.begin(upstream, member);
    const response = new Response(null, {
      status: 302,
      headers: { location: begun.location },
    });
    setCookie(response, flowCookie(begun.flow), begun.browser);
    return response;
  }

  function readLink(c: Ctx, ticket: string) {
    const workspace = c.req.param("workspace") ?? "";
    return connecting.readTicket(ticket, workspace, idOf(c));
  }

  function setCookie(response: Response, name: string, value: string | null) {
    const secure = connecting.redirectUrl().startsWith("https:");
    const age = value === null ? 0 : CONNECT_MS / 1000;
    response.headers.append(
      "set-cookie",
      `${cookieName(name)}=${value ?? ""}; Path=/; Max-Age=${age}; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}`,
    );
  }
  /** A browser takes `__Host-` from this host only, and only over https. */
  function cookieName(name: string): string {
    const secure = connecting.redirectUrl().startsWith("https:");
    return `${secure ? "__Host-" : ""}mcp-${name}`;
  }

  /** What went wrong, for a person. */
  async function forPerson(
    c: Ctx,
    run: () => Response | Promise<Response>,
  ): Promise<Response> {
    try {
      return await run();
    } catch (thrown) {
      c.env.log["reason"] = describeError(thrown);
      const error = asGatewayError(thrown);
      return page(
        "Not connected",
        html`<p>${error.message}</p>`,
        statusOf(error),
      );
    }
  }

  const callback = (c: Ctx) =>
    forPerson(c, async () => {
      let used: string | null = null;
      const finish = () =>
        connecting.finish({
          params: new URL(c.req.url).searchParams,
          workspace: c.req.param("workspace") ?? null,
          browserOf(flow) {
            used = flowCookie(flow);
            return getCookie(c, cookieName(used)) ?? null;
          },
        });
      const response = await forPerson(c, async () => {
        const { upstream, member } = await finish();
        c.env.log["workspace"] = member.workspace;
        c.env.log["user"] = member.subject;
        return page(
          "Connected",
          html`<p>
            ${upstream.name} is connected to ${member.name ?? member.subject}.
            You can close this page.
          </p>`,
        );
      });
      if (used !== null) setCookie(response, used, null);
      return response;
    });

  return {
    "GET /api/v2/w/:workspace/mcp-servers/:id/oauth/authorize": async (
      c,
      principal,
    ) => {
      if (principal !== null) {
        const upstream = upstreams.find(principal.workspace, idOf(c));
        if (upstream === null) throw unknownServer();
        return redirect(upstream, principal);
      }
      return forPerson(c, () => {
        const ticket = c.req.query("ticket") ?? "";
        const { upstream, member } = readLink(c, ticket);
        const browser = secret();
        const response = confirmation(
          upstream,
          member,
          ticket,
          proofOf(browser, ticket),
        );
        setCookie(response, ticketCookie(ticket), browser);
        return response;
      });
    },
    "POST /api/v2/w/:workspace/mcp-servers/:id/oauth/authorize": (c) =>
      forPerson(c, async () => {
        const form = new URLSearchParams(await c.req.text());
        const ticket = form.get("ticket") ?? "";
        const { upstream, member } = readLink(c, ticket);
        const name = ticketCookie(ticket);
        const browser = getCookie(c, cookieName(name)) ?? "";
        if (form.get("proof") !== proofOf(browser, ticket)) {
          throw new GatewayError(
            "invalid",
            "This form was not opened in this browser. Open the link again.",
          );
        }
        const response = await redirect(upstream, member);
        setCookie(response, name, null);
        return response;
      }),
    "GET /api/v2/w/:workspace/mcp-servers/oauth/callback": callback,
    "GET /oauth/callback": callback,
    "GET /oauth/client.json": (c) =>
      c.json(
        {
          client_id: connecting.clientId(),
          ...clientMetadata(connecting.redirectUrl()),
          token_endpoint_auth_method: "none",
        },
        200,
        { "cache-control": "public, max-age=3600" },
      ),
  };
}

function confirmation(
  upstream: Upstream,
  { name, subject, workspace }: Member,
  ticket: string,
  proof: string,
): Response {
  return page(
    `Connect ${upstream.name}`,
    html`<dl>
        <dt>Server</dt>
        <dd>${upstream.name}, at ${new URL(upstream.url).host}</dd>
        <dt>It will be used by</dt>
        <dd>${name === null ? subject : `${name} (${subject})`}</dd>
        <dt>Of the workspace</dt>
        <dd>${workspace}</dd>
      </dl>
      <p>
        Who this is will act there with the account that you log in with next.
        Go on only if it is you, and if you have asked for this.
      </p>
      <form method="post" action="authorize">
        <input type="hidden" name="ticket" value="${ticket}" />
        <input type="hidden" name="proof" value="${proof}" />
        <button>Connect</button>
      </form>`,
  );
}

/** 0, which no server has, for what is no id. */
function idOf(c: Ctx): number {
  const text = c.req.param("id") ?? "";
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : 0;
}

function unknownServer(): GatewayError {
  return new GatewayError("not_found", "There is no such server.");
}
