/**
 * What a record looks like as a document: its JSON as one text, the fields that queries need beside it, the marks of the
 * last writes, and the time of the last one.
 */
import { randomBytes } from "node:crypto";
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
export const FIELDS = { json: "json", queried: "f", writes: "w", writtenAt: "at", expireAt: "expireAt" } as const;

const DAY_MS = 24 * 60 * 60 * 1000;

/** When Firestore itself may forget a record: a day after it says that it expires. Undefined where it says nothing. */
export function forgetAtMs(data: object): number | undefined {
  if (!("expiresAtMs" in data) || typeof data.expiresAtMs !== "number") return undefined;
  return data.expiresAtMs + DAY_MS;
}

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

/**
 * A version: when the document was written, and the marks of its last writes, newest first. The marks tell a writer whose
 * answer was lost that its write was carried out, also where others have written since.
 */
export interface Version {
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly writes: readonly string[];
}

/**
 * Writes by others that may come between a write and the look for its mark: a document takes about one a second, and an
 * answer is given up after a minute.
 */
const KEPT_WRITES = 64;

export const newWrite = (): string => randomBytes(6).toString("base64url");

/** The marks of a document that is written over one with this version. */
export function nextWrites(write: string, before: readonly string[]): string[] {
  return [write, ...before].slice(0, KEPT_WRITES);
}

export function formatVersion({ seconds, nanoseconds, writes }: Version): string {
  return `${seconds}.${nanoseconds}.${writes.join(".")}`;
}

export function parseVersion(version: string): Version {
  const [seconds, nanoseconds, ...writes] = version.split(".");
  return { seconds: Number(seconds) || 0, nanoseconds: Number(nanoseconds) || 0, writes };
}
