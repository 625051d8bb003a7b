/** Which values of a run are secret: they are scrubbed from all that the run prints and makes. */
import { credentialValues } from "./dbt-connection.ts";
import { isSecretName } from "./dbt-environment.ts";
import { isMapping } from "./dbt-profile.ts";
import type { Envelope } from "./envelope.ts";

export interface SecretsParams {
  readonly envelope: Envelope;
  /** The whole environment of dbt's process. */
  readonly env: Readonly<Record<string, string>>;
  /** The parsed profiles.yml that dbt reads, wherever it comes from. */
  readonly profiles: unknown;
}

/** Every value that nothing of the run may show. Of all of the profile's targets: which one dbt takes is its business. */
export function secretsOf({ envelope, env, profiles }: SecretsParams): string[] {
  const named = (values: Readonly<Record<string, string>>): string[] =>
    Object.entries(values).flatMap(([name, value]) => (isSecretName(name, envelope.secretNames) ? [value] : []));
  const found = new Set([
    ...named(env),
    ...named(envelope.env),
    ...named(envelope.dotenv),
    ...connections(profiles).flatMap((connection) => hiddenIn(connection, env)),
    ...envelope.files.flatMap(({ contentBase64 }) => secretsOfFile(Buffer.from(contentBase64, "base64"))),
  ]);
  return [...found].filter((value) => value.trim() !== "");
}

function connections(profiles: unknown): unknown[] {
  if (!isMapping(profiles)) return [];
  return Object.values(profiles).flatMap((profile) => {
    const outputs = isMapping(profile) ? profile["outputs"] : undefined;
    return isMapping(outputs) ? Object.values(outputs) : [];
  });
}

/** A password that also stands openly in its connection (`user: postgres`) hides nothing; masked it would garble every line. */
function hiddenIn(connection: unknown, env: Readonly<Record<string, string>>): string[] {
  const open = isMapping(connection) ? openValues(connection) : new Set<string>();
  return credentialValues(connection, env).filter((value) => !open.has(value));
}

const OPEN_FIELDS = ["type", "user", "username", "host", "database", "dbname", "schema", "account", "project"];

function openValues(connection: Readonly<Record<string, unknown>>): Set<string> {
  return new Set(OPEN_FIELDS.map((field) => connection[field]).filter((value) => typeof value === "string"));
}

/** A key file's secrets: the credentials of a JSON file, else all of it, but for a certificate, which is public. */
function secretsOfFile(content: Buffer): string[] {
  const text = content.toString("utf8");
  try {
    const parsed: unknown = JSON.parse(text);
    if (isMapping(parsed)) return credentialValues(parsed);
  } catch {
    // No JSON, then.
  }
  const isPublic = text.includes("-----BEGIN") && !text.includes("PRIVATE KEY");
  return isPublic || content.includes(0) ? [] : [text];
}
