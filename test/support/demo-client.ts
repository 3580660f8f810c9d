import { MembraneClient } from "@membranehq/sdk";
import { mintToken } from "../../src/demo/token.ts";
import {
  openDemoWorkspace,
  type DemoOptions,
  type DemoWorkspace,
} from "../../src/demo/workspace.ts";
import type { World } from "../../src/demo/world.ts";

/** The workspace that {@link openWorkspace} opens. */
export const WORKSPACE = { workspaceKey: "wk-test", secret: "a-test-secret" };

/** A demo workspace of that world, with its control endpoints. */
export function openWorkspace(
  world: World,
  more: Partial<DemoOptions> = {},
): DemoWorkspace {
  return openDemoWorkspace({ ...WORKSPACE, world, control: true, ...more });
}

/** The real SDK, as a user of the workspace. */
export async function clientOf(
  workspace: DemoWorkspace,
  user: string,
): Promise<MembraneClient> {
  const token = await mintToken({ ...WORKSPACE, user });
  return new MembraneClient({ token, apiUri: workspace.url });
}

/** One request without the SDK, as a user of the workspace or with a token. */
export async function request(
  workspace: DemoWorkspace,
  who: { user: string } | { token: string } | null,
  path: string,
  init: { method?: string; body?: unknown } = {},
) {
  const token =
    who === null
      ? null
      : "token" in who
        ? who.token
        : await mintToken({ ...WORKSPACE, user: who.user });
  const response = await fetch(workspace.url + path, {
    method: init.method ?? (init.body === undefined ? "GET" : "POST"),
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      "content-type": "application/json",
    },
    ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    // Tests look into many shapes; each assertion says which one it expects.
    body: (isJson(response) ? JSON.parse(text) : undefined) as any,
  };
}

function isJson(response: Response): boolean {
  return (response.headers.get("content-type") ?? "").includes("json");
}

/** What the promise was rejected with; fails when it was not. */
export async function rejection(promise: Promise<unknown>): Promise<any> {
  try {
    await promise;
  } catch (thrown) {
    return thrown;
  }
  throw new Error("Expected a rejection");
}
