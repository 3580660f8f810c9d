/** A real browser: Chrome or Chromium, where there is one. */

/** Where it is: `BUN_CHROME_PATH`, or what is installed; null when there is none. */
export const chrome: string | null =
  process.env["BUN_CHROME_PATH"] ??
  [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome-headless-shell",
  ]
    .map((name) => Bun.which(name))
    .find((path) => path !== null) ??
  null;

/** One tab of it, that remembers what it asked for and what its page was forbidden. */
export type Tab = Disposable & {
  visit(url: string): Promise<void>;
  /** The value of an expression in the page. */
  read<T>(expression: string): Promise<T>;
  /** The same, as soon as it is not empty. */
  until<T>(expression: string): Promise<T>;
  /** Presses what a selector finds, as soon as it is there. */
  press(selector: string): Promise<void>;
  /** Writes into the field that a selector finds, key by key. */
  write(selector: string, text: string): Promise<void>;
  /** What was asked for over the network, as `GET http://…`. */
  requests: string[];
  /** What the policy of the page has forbidden. */
  violations(): Promise<string[]>;
};

const WATCH =
  "window.forbidden = []; addEventListener('securitypolicyviolation', (event) => window.forbidden.push(`${event.violatedDirective} ${event.blockedURI}`))";

/** Closes the browser itself, which all tabs share. */
export function closeChrome(): void {
  Bun.WebView.closeAll();
}

export async function openTab(path: string): Promise<Tab> {
  const view = new Bun.WebView({
    width: 1280,
    height: 1024,
    backend: { type: "chrome", url: false, path, argv: ["--no-sandbox"] },
  });
  await view.navigate("about:blank");
  const requests: string[] = [];
  view.addEventListener("Network.requestWillBeSent" as string, (event) => {
    const { request } = (event as MessageEvent).data;
    if (!request.url.startsWith("data:")) {
      requests.push(`${request.method} ${request.url}`);
    }
  });
  await view.cdp("Network.enable");
  await view.cdp("Page.addScriptToEvaluateOnNewDocument", { source: WATCH });

  async function until<T>(expression: string): Promise<T> {
    for (;;) {
      const value = await view.evaluate<T>(expression);
      if (value) return value;
      await Bun.sleep(10);
    }
  }
  const at = (selector: string) =>
    `document.querySelector(${JSON.stringify(selector)})`;

  return {
    visit: (url) => view.navigate(url),
    read: (expression) => view.evaluate(expression),
    until,
    async press(selector) {
      await until(`${at(selector)} !== null`);
      await view.evaluate(`${at(selector)}.click()`);
    },
    async write(selector, text) {
      await until(`${at(selector)} !== null`);
      await view.evaluate(`${at(selector)}.focus()`);
      await view.type(text);
    },
    requests,
    violations: () => view.evaluate("window.forbidden"),
    [Symbol.dispose]() {
      view.close();
    },
  };
}
