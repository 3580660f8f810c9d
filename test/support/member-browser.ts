/** A person's browser, as far as cookies, redirects and forms go. */
export type Browser = {
  /** Follows redirects, to their end or until `stop` says so. */
  open(url: string, stop?: (url: string) => boolean): Promise<Page>;
  /** Sends the form of a page, with what was typed into it. */
  submit(
    page: Page,
    typed?: Record<string, string>,
    stop?: (url: string) => boolean,
  ): Promise<Page>;
  cookies: Map<string, string>;
};

export type Page = {
  url: string;
  status: number;
  headers: Headers;
  text: string;
  /** Where a redirect led that was not followed. */
  location: string | null;
};

export function openBrowser(): Browser {
  const cookies = new Map<string, string>();
  // By host without port, as browsers do.
  const key = (url: URL, name: string) => `${url.hostname} ${name}`;

  async function ask(
    target: string,
    init: RequestInit,
    stop: (url: string) => boolean,
  ): Promise<Page> {
    const url = new URL(target);
    const mine = [...cookies]
      .filter(([name]) => name.startsWith(`${url.hostname} `))
      .map(([name, value]) => `${name.split(" ")[1]}=${value}`);
    const response = await fetch(url, {
      ...init,
      redirect: "manual",
      headers: {
        ...(init.headers as Record<string, string>),
        ...(mine.length > 0 ? { cookie: mine.join("; ") } : {}),
      },
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split("; ");
      const [name = "", value = ""] = pair.split("=");
      const gone = attributes.some((each) => /^max-age=0$/i.test(each));
      const past = attributes.some(
        (each) => /^expires=.*1970/i.test(each) || value === "",
      );
      if (gone || past) cookies.delete(key(url, name));
      else cookies.set(key(url, name), value);
    }
    const location = response.headers.get("location");
    const page: Page = {
      url: target,
      status: response.status,
      headers: response.headers,
      text: await response.text(),
      location: location && new URL(location, url).href,
    };
    if (page.location === null || response.status < 300) return page;
    return stop(page.location) ? page : ask(page.location, {}, stop);
  }

  const never = () => false;
  return {
    cookies,
    open: (url, stop = never) => ask(url, {}, stop),
    submit(page, typed = {}, stop = never) {
      const fields = new URLSearchParams();
      const form = /<form[^>]*>[\s\S]*?<\/form>/.exec(page.text)?.[0] ?? "";
      for (const [input] of form.matchAll(/<input[^>]*>/g)) {
        const name = /name="([^"]*)"/.exec(input)?.[1];
        const value = /value="([^"]*)"/.exec(input)?.[1] ?? "";
        if (name) fields.set(name, value);
      }
      for (const [name, value] of Object.entries(typed)) {
        fields.set(name, value);
      }
      const action = /action="([^"]*)"/.exec(form)?.[1] ?? "";
      return ask(
        new URL(action, page.url).href,
        {
          method: "POST",
          headers: { "content-type": "application/x-www-form-urlencoded" },
          body: fields.toString(),
        },
        stop,
      );
    },
  };
}
