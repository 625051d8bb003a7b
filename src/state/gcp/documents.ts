/**
 * What a record looks like as a document: its JSON as one text, the fields that queries need beside it, the mark of the
 * write that made it, and the time of that write.
 */
import { AppError } from "../../core/errors.ts";
import { RECORD_INDEXES } from "../indexes.ts";

/** Firestore's limit, less what it counts for names and queried fields. */
const MAX_RECORD_BYTES = 1_000_000;
/** Longer texts are cut in an index, so they can't be asked for. */
const MAX_INDEXED_BYTES = 1400;
/** What queries name may look like; see checkField. */
const FIELD = /^[A-Za-z][A-Za-z0-9]*$/;

/** Keeps the project's Firestore apart for others: they may use the same database. */
const COLLECTION_PREFIX = "dbt-remote-";

export const collectionId = (collection: string): string => `${COLLECTION_PREFIX}${collection}`;

/** Names of a document's own fields. */
export const FIELDS = { json: "json", queried: "f", writeId: "w", writtenAt: "at" } as const;

/** Fields by name; `a.b` of an object is one level down. */
export interface QueriedFields {
  readonly [field: string]: string | number | boolean | null | QueriedFields;
}

/** The JSON of a record. Throws `too_large`. */
export function serialize(collection: string, key: string, data: object): string {
  const json = JSON.stringify(data);
  if (Buffer.byteLength(json) <= MAX_RECORD_BYTES) return json;
  throw new AppError("too_large", `Record ${collection}/${key} is larger than ${MAX_RECORD_BYTES} bytes.`);
}

/** What of a record can be queried: of a collection with indexes only what those name, of others all that is short. */
export function queriedFields(collection: string, data: object): QueriedFields {
  const paths = RECORD_INDEXES.filter((index) => index.collection === collection).flatMap(({ fields }) => fields);
  return paths.length === 0 ? scalars(data, 2) : named(data, new Set(paths), "");
}

function named(data: object, paths: ReadonlySet<string>, base: string): QueriedFields {
  const found: Record<string, QueriedFields[string]> = {};
  for (const [field, value] of Object.entries(data)) {
    const path = base + field;
    if (paths.has(path) && isScalar(value)) found[field] = value;
    else if ([...paths].some((each) => each.startsWith(`${path}.`)) && isObject(value)) {
      found[field] = named(value, paths, `${path}.`);
    }
  }
  return found;
}

function scalars(data: object, depth: number): QueriedFields {
  const found: Record<string, QueriedFields[string]> = {};
  for (const [field, value] of Object.entries(data)) {
    if (!FIELD.test(field)) continue;
    if (isScalar(value)) found[field] = value;
    else if (depth > 1 && isObject(value)) found[field] = scalars(value, depth - 1);
  }
  return found;
}

function isScalar(value: unknown): value is string | number | boolean | null {
  if (typeof value === "string") return Buffer.byteLength(value) <= MAX_INDEXED_BYTES;
  return value === null || typeof value === "number" || typeof value === "boolean";
}

const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);
