import type { Upstream } from "../../src/core/upstream.ts";
import { openRig } from "./app.ts";
import type { FakeServer } from "./fake-upstreams.ts";
import {
  createRest,
  fakeAuthenticator,
  fakeServers,
} from "./fake-upstreams.ts";
import type { FakeClock } from "./clock.ts";

export const URL_OF = (name: string) => `https://${name}.example/mcp`;
export const W1 = "/api/v2/w/w1/mcp-servers";

/** The whole server on a socket, with registered servers that are not there behind it. */
export async function openRestRig(clock?: FakeClock) {
  const fakes = fakeServers();
  const rig = await openRig({
    servers: fakes.parts,
    sources: [fakes.source],
    authenticator: fakeAuthenticator,
    ...(clock ? { clock } : {}),
  });
  const rest = createRest(rig.url);
  return {
    ...rig,
    ...fakes,
    rest,
    /** Registers one that there is; its id. */
    async add(
      name: string,
      server: FakeServer = {},
      body: object = {},
      who = "write:ada@w1",
    ): Promise<number> {
      fakes.servers.set(URL_OF(name), server);
      const workspace = who.split("@")[1]!;
      const answer = await rest(
        who,
        `POST /api/v2/w/${workspace}/mcp-servers`,
        { name, url: URL_OF(name), ...body },
      );
      if (answer.status !== 201) throw new Error(answer.text);
      return answer.body.id as number;
    },
    /** The same, and on. */
    async addReady(name: string, server: FakeServer = {}, body: object = {}) {
      const id = await this.add(name, server, body);
      const answer = await rest("write:ada@w1", `POST ${W1}/${id}/enable`);
      if (answer.body.state !== "ready") throw new Error(answer.text);
      return id;
    },
    stored: (id: number): Upstream => fakes.store().find("w1", id)!,
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  };
}
export type RestRig = Awaited<ReturnType<typeof openRestRig>>;
