/** What a profile's connection names: secrets, files and the warehouse's own file. Pure: YAML comes parsed. */
import { type Environment, namesUsed } from "./dbt-environment.ts";
import { isMapping } from "./dbt-profile.ts";
import { renderEnvVar } from "./jinja-env-var.ts";

/** A text or number of a connection, and the keys that lead to it. */
interface Leaf {
  readonly keys: readonly string[];
  readonly text: string;
}

function leavesOf(value: unknown, keys: readonly string[] = []): Leaf[] {
  if (typeof value === "string") return [{ keys, text: value }];
  if (typeof value === "number" || typeof value === "bigint") return [{ keys, text: String(value) }];
  if (Array.isArray(value)) return value.flatMap((item, index) => leavesOf(item, [...keys, String(index)]));
  if (isMapping(value)) return Object.entries(value).flatMap(([key, item]) => leavesOf(item, [...keys, key]));
  return [];
}

/** Ends of the names of fields that hold a credential, in lower case and without separators. */
const CREDENTIAL_ENDINGS = [
  ...["password", "passwd", "passphrase", "token", "secret", "privatekey", "privatekeyid", "apikey", "accesskey"],
  ...["secretkey", "accountkey", "keyfilejson", "connectionstring", "authorization", "credentialsjson"],
];
const CREDENTIAL_FIELDS: ReadonlySet<string> = new Set(["pass", "pwd", "jwt", "sas", "pat"]);

function isCredentialField(key: string): boolean {
  const plain = key.toLowerCase().replace(/[^a-z0-9]/g, "");
  return CREDENTIAL_FIELDS.has(plain) || CREDENTIAL_ENDINGS.some((ending) => plain.endsWith(ending));
}

/** Credentials inside a longer text: user information of a URL, `password=…`, `motherduck_token=…`. */
const INSIDE_TEXT = [
  /:\/\/[^\s:/@]*:([^\s@/]+)@/g,
  /\b(?:password|pwd|\w*token|accountkey|\w*secret)\s*=\s*'?([^\s'&;]+)/gi,
];

/** A field's nearest name: positions in a list say nothing. */
function fieldName(keys: readonly string[]): string {
  return keys.findLast((key) => !/^\d+$/.test(key)) ?? "";
}

/** The credentials in a keyfile_json that is given as a text of JSON. */
function insideJson(text: string): string[] {
  if (!text.trimStart().startsWith("{")) return [];
  try {
    return leavesOf(JSON.parse(text)).flatMap((leaf) => credentialsIn(leaf.keys, leaf.text));
  } catch {
    return [];
  }
}

function credentialsIn(keys: readonly string[], text: string): string[] {
  const inside = INSIDE_TEXT.flatMap((pattern) => [...text.matchAll(pattern)].map(([, found]) => found ?? ""));
  return isCredentialField(fieldName(keys)) ? [text, ...inside, ...insideJson(text)] : inside;
}

/**
 * Every value of the connection that must never be shown. What is written as Jinja counts by what the environment
 * makes of it: the rendered text, or where that is not certain the value of each variable that it names.
 */
export function credentialValues(output: unknown, env: Environment = {}): string[] {
  const values = leavesOf(output).flatMap(({ keys, text }) => {
    const rendered = renderEnvVar(text, env);
    if (rendered !== undefined) return credentialsIn(keys, rendered);
    return isCredentialField(fieldName(keys)) ? namesUsed(text).flatMap((name) => env[name] ?? []) : [];
  });
  return [...new Set(values)].filter((value) => value.trim() !== "");
}

const FILE_FIELDS: ReadonlySet<string> = new Set([
  ...["keyfile", "key_file", "private_key_path", "private_key_file", "service_account_file", "token_file"],
  ...["sslcert", "sslkey", "sslrootcert", "sslcrl", "ssl_ca", "ssl_cert", "ssl_key", "root_cert", "ca_cert", "cafile"],
  ...["client_cert", "client_cert_key", "client_certificate", "client_private_key", "cert", "cert_file"],
]);

export interface NamedFile {
  /** Where it is named, such as `keyfile` or `plugins.0.config.keyfile`. */
  readonly field: string;
  /** As written, or as rendered where that is certain. */
  readonly path: string;
}

/** Key and certificate files that the connection points at. */
export function filesNamed(output: unknown, env: Environment = {}): NamedFile[] {
  return leavesOf(output).flatMap(({ keys, text }) => {
    if (!FILE_FIELDS.has(fieldName(keys).toLowerCase())) return [];
    const path = renderEnvVar(text, env) ?? text;
    // PEM text where a path is expected, and the name by which libpq means the system's certificates.
    const isPath = path.trim() !== "" && path !== "system" && !path.includes("-----BEGIN");
    return isPath ? [{ field: keys.join("."), path }] : [];
  });
}

/** A database's own file; null for memory, MotherDuck and anything else behind a scheme. */
function databaseFile(value: unknown, env: Environment): string | null {
  if (typeof value !== "string") return null;
  const path = (renderEnvVar(value, env) ?? value).trim().replace(/^(ducklake|sqlite|duckdb):/, "");
  const isFile = path !== "" && !path.startsWith(":memory:") && !/^[a-z][a-z0-9+.-]+:/i.test(path);
  return isFile ? path : null;
}

/** Every database file that a DuckDB or SQLite connection names, the main one first; as written where Jinja is uncertain. */
export function warehouseFiles(output: unknown, env: Environment): string[] {
  if (!isMapping(output)) return [];
  const { type, path, attach, schemas_and_paths: schemas } = output;
  const named: unknown[] = [];
  if (type === "duckdb") {
    named.push(path);
    for (const one of Array.isArray(attach) ? attach : []) {
      if (!isMapping(one)) named.push(one);
      else if (["duckdb", "sqlite", "ducklake"].includes(String(one["type"] ?? "duckdb"))) named.push(one["path"]);
    }
  }
  if (type === "sqlite" && isMapping(schemas)) named.push(schemas["main"], ...Object.values(schemas));
  return [...new Set(named.flatMap((one) => databaseFile(one, env) ?? []))];
}

/** The one file that makes readers wait for writers; null where the warehouse is elsewhere. */
export function warehouseFile(output: unknown, env: Environment): string | null {
  return warehouseFiles(output, env)[0] ?? null;
}
