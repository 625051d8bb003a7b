/**
 * The wire contract of `/api/v1/` is one schema per request and answer, made of these. The server validates with them
 * and makes its OpenAPI description of them; the client imports only their types.
 */
import type { TObject, TProperties } from "typebox";
import { Type } from "../schema-builder.ts";

const strict = { additionalProperties: false } as const;

/** Nothing but these properties. */
export const object = <P extends TProperties>(properties: P, description?: string): TObject<P> =>
  Type.Object(properties, description === undefined ? strict : { ...strict, description });

export const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);

/** One of these words. */
export const literals = <const T extends readonly string[]>(values: T) =>
  Type.Unsafe<T[number]>({ type: "string", enum: [...values] });

export const Sha256 = Type.String({ pattern: "^[0-9a-f]{64}$" });
export const SnapshotId = Type.String({ pattern: "^v1-[0-9a-f]{64}$" });
export const RunId = Type.String({ format: "uuid" });
export const Time = Type.String({ description: "ISO 8601, UTC" });
export const RelativePath = Type.String({ minLength: 1, maxLength: 4096 });
