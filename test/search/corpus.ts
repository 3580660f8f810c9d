import type { Tool } from "../../src/core/tool.ts";
import { catalogue } from "./catalogue.ts";

/** The catalogue as a user who has connected every app would have it. `copies`: each app this many times over. */
export function tools(copies = 1): Tool[] {
  return Array.from({ length: copies }, (_, copy) =>
    catalogue.flatMap(({ app, appName, actions }) => {
      const mark = copy === 0 ? "" : `-${copy}`;
      return actions.map(({ key, name, description, parameters }) => ({
        name: `${app}${mark}_${key}`,
        source: "test",
        offer: {
          app: { ref: `${app}${mark}`, key: app, name: appName },
          ref: key,
          key,
          name,
          tool: {
            title: `${appName}: ${name}`,
            description: `${appName}: ${name}. ${description}`,
            inputSchema: {
              type: "object" as const,
              properties: Object.fromEntries(
                parameters.map((parameter) => [parameter, {}]),
              ),
            },
          },
        },
      }));
    }),
  ).flat();
}

/** The tool that the queries call `app/key`. */
export const toolName = (expected: string) => expected.replace("/", "_");
