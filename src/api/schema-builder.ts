/**
 * Builds JSON Schemas with TypeBox's types, and without loading TypeBox: its hundreds of modules would be half of the
 * server's start. Only what the wire contract needs is here.
 */
import type * as TypeBox from "typebox";

type Schema = Readonly<Record<string, unknown>>;

const optional = new WeakSet<object>();

const builder = {
  Object: (properties: Readonly<Record<string, Schema>>, options: Schema = {}): Schema => ({
    type: "object",
    ...options,
    required: Object.keys(properties).filter((name) => !optional.has(properties[name] ?? {})),
    properties,
  }),
  Array: (items: Schema, options: Schema = {}): Schema => ({ type: "array", ...options, items }),
  Record: (_keys: Schema, values: Schema): Schema => ({ type: "object", additionalProperties: values }),
  String: (options: Schema = {}): Schema => ({ type: "string", ...options }),
  Integer: (options: Schema = {}): Schema => ({ type: "integer", ...options }),
  Boolean: (options: Schema = {}): Schema => ({ type: "boolean", ...options }),
  Null: (): Schema => ({ type: "null" }),
  Unknown: (): Schema => ({}),
  Union: (schemas: readonly Schema[]): Schema => ({ anyOf: schemas }),
  Unsafe: (schema: Schema): Schema => schema,
  /** Marks a copy, so that the same schema can be compulsory elsewhere. */
  Optional: (schema: Schema): Schema => {
    const copy = { ...schema };
    optional.add(copy);
    return copy;
  },
};

/** As TypeBox's own `Type`; what it builds is plain JSON Schema, to which TypeBox's types only add names. */
export const Type = builder as unknown as Pick<typeof TypeBox, keyof typeof builder>;
