/** What a browser does of a login: it follows redirects, keeps cookies and sends forms. */
export type Browser = {
  /**
   * Follows redirects until one leads to where `stop` says, or until an answer is none; the URL that it came to, and
   * the answer unless it was stopped before asking.
   */
  visit(
    url: string,
    options?: { form?: Record<string, string>; stop?(url: URL): boolean },
  ): Promise<{ url: string; response: Response | null }>;
};

/** A browser that has never been anywhere. Cookies are by host, as in any browser: all ports share them. */
export function openBrowser(): Browser {
  const jar = new Map<
    string,
    { host: string; path: string; name: string; value: string }
  >();

  function keep(url: URL, response: Response): void {
    for (const line of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split(/; */);
      const [name = "", ...rest] = pair.split("=");
      const attribute = (key: string) =>
        attributes
          .find((text) => text.toLowerCase().startsWith(`${key}=`))
          ?.slice(key.length + 1);
      const path = attribute("path") ?? "/";
      const key = `${url.hostname} ${path} ${name}`;
      const expires = attribute("expires");
      const gone =
        attribute("max-age") === "0" ||
        (expires !== undefined && Date.parse(expires) < Date.now());
      if (gone) jar.delete(key);
      else
        jar.set(key, { host: url.hostname, path, name, value: rest.join("=") });
    }
  }

  const cookies = (url: URL) =>
    [...jar.values()]
      .filter(
        ({ host, path }) =>
          host === url.hostname &&
          (url.pathname === path ||
            url.pathname.startsWith(path.endsWith("/") ? path : `${path}/`)),
      )
      .map(({ name, value }) => `${name}=${value}`)
      .join("; ");

  return {
    async visit(start, { form, stop = () => false } = {}) {
      let url = new URL(start);
      let body = form === undefined ? null : new URLSearchParams(form);
      for (let hops = 0; hops < 20; hops++) {
        if (stop(url)) return { url: url.href, response: null };
        const response = await fetch(url, {
          method: body ? "POST" : "GET",
          redirect: "manual",
          headers: { accept: "text/html", cookie: cookies(url) },
          ...(body ? { body } : {}),
        });
        keep(url, response);
        const location = response.headers.get("location");
        if (location === null || response.status < 300) {
          return { url: url.href, response };
        }
        await response.body?.cancel();
        url = new URL(location, url);
        body = null;
      }
      throw new Error(`Too many redirects from ${start}.`);
    },
  };
}
