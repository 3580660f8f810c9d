import type { Access, Viewer } from "./access.ts";
import { flag, mentions, ranked } from "./paging.ts";
import { levelOf } from "./shapes.ts";
import type { Action } from "./tenants.ts";
import { validationError } from "./wire-error.ts";

/**
 * The actions that a list's query asks for, in the order of the world, or,
 * with `intent` and a connection, the best first. An integration or connection that the viewer
 * cannot see is 404. Both an action of a connection and the one it was made from are listed.
 */
export function actionsAt(
  access: Access,
  viewer: Viewer,
  query: Record<string, string>,
): Action[] {
  const { intent, layer } = query;
  if (intent !== undefined && intent.length > 200) {
    throw validationError([
      { path: ["intent"], message: "must be at most 200 characters" },
    ]);
  }
  const connection = access.connectionFor(viewer, query);
  const wanted = query["integrationId"] ?? query["integrationKey"];
  const integration = wanted === undefined ? null : access.integration(wanted);
  const externalAppId = query["externalAppId"];
  const isUniversal = flag(query["isUniversal"]);

  const found = (
    connection === null
      ? access.actions(viewer)
      : access.actionsOn(viewer, connection)
  ).filter(
    (action) =>
      (action.world.archived !== true ||
        flag(query["includeArchived"]) === true) &&
      (integration === null ||
        (action.integration === integration && action.connection === null) ||
        connection !== null) &&
      (layer === undefined || levelOf(action) === layer) &&
      (isUniversal === undefined ||
        isUniversal === (levelOf(action) === "universal")) &&
      (externalAppId === undefined ||
        externalAppId ===
          (action.world.externalAppId ??
            action.integration?.world.externalAppId)) &&
      mentions(query["search"] ?? "", texts(action)),
  );
  return intent === undefined || connection === null
    ? found
    : ranked(found, intent, texts);
}

function texts({ world }: Action) {
  return [world.key, world.name, world.description];
}
