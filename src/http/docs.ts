import { once } from "../core/once.ts";
import { isKnown } from "./precondition.ts";
import type { Ctx, Handlers } from "./routes.ts";

/**
 * GET /openapi.json
 * GET /docs, /docs/swagger-ui.js | swagger-ui.css | start.js | licenses.txt
 */

export type DocsRouteOptions = {
  version: string;
  /** Our own address as users see it; null when only requests tell. */
  publicUrl: string | null;
};

type DocsRoute =
  | "GET /openapi.json"
  | "GET /docs"
  | `GET /docs/${"swagger-ui.js" | "swagger-ui.css" | "start.js" | "licenses.txt"}`;

/** What a browser may do on the page: run our files, and ask this server. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width" />
    <meta name="robots" content="noindex" />
    <title>membrane-mcp API</title>
    <link rel="icon" href="data:," />
    <link rel="stylesheet" href="docs/swagger-ui.css" />
    <link rel="license" href="docs/licenses.txt" />
    <script src="docs/swagger-ui.js" defer></script>
    <script src="docs/start.js" defer></script>
  </head>
  <body>
    <main id="api"></main>
    <noscript>The API is described in <a href="openapi.json">openapi.json</a>.</noscript>
  </body>
</html>
`;

/** Credentials that are typed in stay in the page's memory, and nobody else is asked to validate the document. */
const START = `window.ui = SwaggerUIBundle({
  url: new URL("openapi.json", location.href).href,
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  queryConfigEnabled: false,
  displayRequestDuration: true,
  docExpansion: "list",
});
`;

export function docsRoutes(options: DocsRouteOptions): Handlers<DocsRoute> {
  /** Made at the first request for it: the start does not wait for a hundred schemas. */
  const document = once(async () => {
    const { buildDocument } = await import("./api/document.ts");
    const text = JSON.stringify(buildDocument(options));
    return { text, etag: etagOf(text) };
  });

  /** From the disk, or the executable, to the socket: nothing of it stays in memory. */
  const asset =
    (type: string, name: "script" | "style") =>
    async (c: Ctx): Promise<Response> => {
      const { assets } = await import("./api/assets.ts");
      const file = Bun.file(assets[name]);
      return answer(c, `"${options.version}-${file.size}"`, type, file);
    };
  const licenses = async (c: Ctx): Promise<Response> => {
    const { assets } = await import("./api/assets.ts");
    const texts = assets.licenses.map((path) => Bun.file(path).text());
    const text = (await Promise.all(texts)).join("\n\n");
    return answer(c, etagOf(text), "text/plain;charset=utf-8", text);
  };

  return {
    "GET /openapi.json": async (c) => {
      const { text, etag } = await document();
      return answer(c, etag, "application/json", text);
    },
    "GET /docs": (c) =>
      c.body(PAGE, 200, {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": POLICY,
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
      }),
    "GET /docs/swagger-ui.js": asset("text/javascript;charset=utf-8", "script"),
    "GET /docs/swagger-ui.css": asset("text/css;charset=utf-8", "style"),
    "GET /docs/start.js": (c) =>
      answer(c, etagOf(START), "text/javascript;charset=utf-8", START),
    "GET /docs/licenses.txt": licenses,
  };
}

/** Asked for anew each time, and sent when it is another. */
function answer(
  c: Ctx,
  etag: string,
  type: string,
  body: string | Blob,
): Response {
  const headers = { etag, "cache-control": "no-cache" };
  if (isKnown(c, etag)) return new Response(null, { status: 304, headers });
  return new Response(body, {
    headers: { ...headers, "content-type": type },
  });
}

function etagOf(text: string): string {
  return `"${new Bun.CryptoHasher("sha256").update(text).digest("base64url")}"`;
}
