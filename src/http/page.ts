/** Pages for a person's browser: text and forms, no scripts, in nobody's frame. */

/** Text with nothing in it that a browser would take for more. */
export type Html = { html: string };

/** A template of which everything but its own text is escaped. */
export function html(
  parts: TemplateStringsArray,
  ...values: (string | Html)[]
): Html {
  return {
    html: parts.reduce((text, part, i) => {
      const value = values[i - 1]!;
      return (
        text +
        (typeof value === "string" ? escapeHtml(value) : value.html) +
        part
      );
    }),
  };
}

function escapeHtml(text: string): string {
  return text.replace(
    /[&<>"']/g,
    (character) => `&#${character.charCodeAt(0)};`,
  );
}

const STYLE =
  "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1.5rem;color-scheme:light dark}h1{font-size:1.4rem}dt{opacity:.7}dd{margin:0 0 .6rem;font-weight:600;overflow-wrap:anywhere}button{font:inherit;padding:.5rem 1.2rem}";

let policy: string | null = null;

/**
 * No `form-action`: browsers apply it to where the answer to a form leads, too, and that is somebody else's server.
 */
function contentPolicy(): string {
  const hash = new Bun.CryptoHasher("sha256").update(STYLE).digest("base64");
  return (policy ??= `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; frame-ancestors 'none'`);
}

export function page(title: string, body: Html, status = 200): Response {
  const { html: text } = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <meta name="robots" content="noindex" />
        <title>${title}</title>
        ${{ html: `<style>${STYLE}</style>` }}
      </head>
      <body>
        <h1>${title}</h1>
        ${body}
      </body>
    </html> `;
  return new Response(text, {
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": contentPolicy(),
      "x-frame-options": "DENY",
      "cross-origin-opener-policy": "same-origin",
      // Of our own pages only, so that a form says where it comes from.
      "referrer-policy": "same-origin",
    },
  });
}
