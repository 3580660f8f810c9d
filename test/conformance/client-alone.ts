/**
 * Scenarios whose mock answers neither `server/discover` nor `initialize`, so that no gateway can be connected to it:
 * they are played by the official client that the gateway uses, told beforehand which revision is spoken.
 */
import {
  Client,
  StreamableHTTPClientTransport,
} from "@modelcontextprotocol/client";
import { play } from "./client-play.ts";

const discover = {
  resultType: "complete" as const,
  supportedVersions: ["2026-07-28"],
  capabilities: { tools: {}, resources: {}, prompts: {} },
  ttlMs: 0,
  cacheScope: "private" as const,
};

export const withoutGateway: ReadonlyMap<
  string,
  (url: string) => Promise<void>
> = new Map(
  [
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "sep-2322-client-request-state",
  ].map((scenario) => [
    scenario,
    async (url: string) => {
      const client = new Client(
        { name: "membrane-mcp", version: "0" },
        { capabilities: { elicitation: { form: {} } } },
      );
      client.setRequestHandler("elicitation/create", () => ({
        action: "accept" as const,
        content: { confirmed: true },
      }));
      await client.connect(new StreamableHTTPClientTransport(new URL(url)), {
        prior: { kind: "modern", discover },
      });
      await play(scenario, client, (name, args = {}) =>
        client.callTool({ name, arguments: args }),
      );
      await client.close();
    },
  ]),
);
