/** What names may look like in State, checked alike by every backend. Pure. */
import { AppError } from "../core/errors.ts";

const COLLECTION = /^[a-z][a-z0-9-]{0,62}$/;
const KEY = /^[A-Za-z0-9._:@~-]{1,200}$/;
const FIELD = /^[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)*$/;
const SHA256 = /^[0-9a-f]{64}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
const FORBIDDEN = /[\u0000-\u001f\u007f\\]/;
const RESERVED = /^(\.{1,2}|__.*__)$/;

const shown = (value: string): string => JSON.stringify(value.slice(0, 100));

/** Throws `bad_argument` unless this can be the name of a collection. */
export function checkCollection(collection: string): string {
  if (!COLLECTION.test(collection)) throw new AppError("bad_argument", `Not a collection: ${shown(collection)}.`);
  return collection;
}

/** Throws `bad_argument` unless this can be the key of a record, and so the name of a file. */
export function checkKey(key: string): string {
  if (!KEY.test(key) || RESERVED.test(key)) throw new AppError("bad_argument", `Not a key: ${shown(key)}.`);
  return key;
}

/** Throws `bad_argument` unless this can be the path of a field in a query. */
export function checkField(field: string): string {
  if (!FIELD.test(field)) throw new AppError("bad_argument", `Not a field: ${shown(field)}.`);
  return field;
}

/** Throws `bad_argument` unless this is a SHA-256 in lower-case hex. */
export function checkSha256(sha256: string): string {
  if (!SHA256.test(sha256)) throw new AppError("bad_argument", `Not a SHA-256 in lower-case hex: ${shown(sha256)}.`);
  return sha256;
}

/** Throws `path_outside` unless this can be the name of a blob. */
export function checkBlobName(name: string): string {
  for (const part of name.split("/")) {
    if (part === "" || part.length > 200 || RESERVED.test(part) || FORBIDDEN.test(part)) {
      throw new AppError("path_outside", `Not the name of a blob: ${shown(name)}.`);
    }
  }
  return name;
}
