import { z } from "zod";
import { checked } from "./checked.ts";
import type { ActionType, RunContext, WorldAction } from "./app.ts";

/** An action whose input schema, and its check, come from one zod object. */
export function typedAction<T>(spec: {
  key: string;
  name: string;
  description: string;
  type: ActionType;
  input: z.ZodType<T>;
  output: z.ZodType;
  run(input: T, context: RunContext): unknown;
}): WorldAction {
  return {
    key: spec.key,
    name: spec.name,
    description: spec.description,
    type: spec.type,
    inputSchema: dataSchema(spec.input, "input"),
    outputSchema: dataSchema(spec.output, "output"),
    run(input, context) {
      // Properties that the schema does not know are ignored, as Membrane ignores them.
      return spec.run(checked(spec.input, input ?? {}), context);
    },
  };
}

/** A zod schema as Membrane writes schemas. */
function dataSchema(schema: z.ZodType, io: "input" | "output"): unknown {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    io,
    target: "draft-7",
    override({ jsonSchema }) {
      // The format says it; its pattern is hundreds of characters that a model would have to read.
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
      delete jsonSchema.additionalProperties;
    },
  });
  return json;
}
