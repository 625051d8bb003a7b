/** The environment of a run's dbt, and what in it is secret. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { warehouseFiles } from "../core/dbt-connection.ts";
import { mayBeSent } from "../core/dbt-environment.ts";
import { isMapping } from "../core/dbt-profile.ts";
import { EMPTY_ENVELOPE, type Envelope } from "../core/envelope.ts";
import { secretsOf } from "../core/secrets.ts";
import { dbtEnvironment } from "../dbt/job-environment.ts";
import type { JsonObject } from "../state/port.ts";
import { adaptVariables } from "./adapt.ts";
import type { Workspace } from "./workspace.ts";

export interface RunEnvironment {
  /** The whole environment of dbt's process. */
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
  /** Database files that the connections name, as written there or rendered. */
  readonly warehouseFiles: readonly string[];
  /** Text of the profiles.yml in use; empty where there is none. */
  readonly profiles: string;
}

export interface RunEnvironmentParams {
  readonly workspace: Workspace;
  readonly envelope: Envelope;
  readonly jobEnv: Readonly<Record<string, string | undefined>>;
  /** Names that pass from `jobEnv` beside the usual ones. */
  readonly allow: readonly string[];
  /** dbt's version, asked for only where it matters. */
  readonly dbtVersion: () => Promise<string>;
}

/** What was sealed, with what is missing as if it were empty. */
export function readEnvelope(stored: JsonObject): Envelope {
  // It is what the server has checked and sealed.
  return { ...EMPTY_ENVELOPE, ...(stored as unknown as Partial<Envelope>) };
}

export async function runEnvironment(params: RunEnvironmentParams): Promise<RunEnvironment> {
  const { workspace, envelope, jobEnv, allow } = params;
  const own: Record<string, string> = { DBT_PROFILES_DIR: workspace.profiles };
  if (Object.hasOwn(envelope.env, "DBT_ENGINE_PROFILES_DIR")) own["DBT_ENGINE_PROFILES_DIR"] = workspace.profiles;
  const env = dbtEnvironment({
    serverEnv: jobEnv,
    allow,
    envelopeEnv: adaptVariables(envelope.env, workspace),
    secretNames: envelope.secretNames,
    own,
  });
  const dotenv = Object.entries(envelope.dotenv).filter(([name]) => !Object.hasOwn(env, name) && mayBeSent(name));
  if (dotenv.length > 0 && loadsDotenv(await params.dbtVersion())) Object.assign(env, Object.fromEntries(dotenv));
  const text = envelope.profiles ?? readText(join(workspace.profiles, "profiles.yml"));
  const profiles = parseProfiles(text);
  return {
    env,
    secrets: secretsOf({ envelope, env, profiles }),
    warehouseFiles: connectionsOf(profiles).flatMap((connection) => warehouseFiles(connection, env)),
    profiles: text ?? "",
  };
}

/** dbt reads a project's `.env` from 1.12 on. */
function loadsDotenv(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 1 || (major === 1 && minor >= 12);
}

/** Undefined where it is no YAML, or there is none. */
export function parseProfiles(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    const document = parseDocument(text, { version: "1.1", merge: true, uniqueKeys: false, logLevel: "silent" });
    return document.toJS({ maxAliasCount: 1000 });
  } catch {
    // dbt says itself what is wrong with it.
    return undefined;
  }
}

function connectionsOf(profiles: unknown): unknown[] {
  if (!isMapping(profiles)) return [];
  return Object.values(profiles).flatMap((profile) => {
    const outputs = isMapping(profile) ? profile["outputs"] : undefined;
    return isMapping(outputs) ? Object.values(outputs) : [];
  });
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
