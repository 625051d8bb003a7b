/** What the profile in use says about a run: its target, its adapter, and the warehouse file that runs take turns for. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DbtArgv } from "../../core/dbt-argv.ts";
import { filesNamed, type NamedFile, warehouseFile, warehouseFiles } from "../../core/dbt-connection.ts";
import { profileChoice, profileInUse } from "../../core/dbt-profile.ts";
import type { Envelope } from "../../core/envelope.ts";
import { AppError } from "../../core/errors.ts";
import type { Run } from "../../core/run.ts";
import { secretsOf } from "../../core/secrets.ts";

export interface RunProfile extends Pick<Run, "profileFrom" | "target" | "warehouseFile"> {
  /** `type` of the connection, where it is written plainly. */
  readonly adapter: string | null;
  /** Key and certificate files that the connection names. */
  readonly files: readonly NamedFile[];
  /** Database files that it names; `warehouseFile` is the first. */
  readonly warehouseFiles: readonly string[];
  /** Values that stand in profile and environment and may not be kept. */
  readonly secrets: readonly string[];
}

export interface RunProfileParams {
  readonly parsed: DbtArgv;
  readonly envelope: Envelope;
  /** Text of the server's own profiles.yml, which goes before the client's. */
  readonly serverProfiles: string | null;
  /** Whether the server's own profiles are where only jobs read them. */
  readonly isElsewhere?: boolean;
  /** Text of dbt_project.yml; null where there is none. */
  readonly project: string | null;
  /** Values of the server's own that dbt may see. */
  readonly serverEnv: Readonly<Record<string, string | undefined>>;
}

/** Whatever can't be told from here is left to dbt, which says it better. */
export async function readRunProfile({
  parsed,
  envelope,
  serverProfiles,
  isElsewhere = false,
  project,
  serverEnv,
}: RunProfileParams): Promise<RunProfile> {
  const text = isElsewhere ? null : (serverProfiles ?? envelope.profiles);
  const profileFrom =
    isElsewhere || serverProfiles !== null ? "server" : envelope.profiles !== null ? "client" : "none";
  const env = defined({ ...envelope.dotenv, ...serverEnv, ...envelope.env });
  const choice = profileChoice(parsed, env);
  const profiles = text === null ? undefined : await yaml(text);
  const secrets = secretsOf({ envelope, env, profiles });
  const unknown: RunProfile = {
    ...{ profileFrom, target: choice.target ?? null, warehouseFile: null, adapter: null, secrets },
    ...{ files: [], warehouseFiles: [] },
  };
  if (text === null) return unknown;
  const found = profileInUse({ project: await yaml(project ?? ""), profiles, choice, env });
  const target = found.targetName ?? null;
  if (found.problem !== null) return { ...unknown, target };
  const { type } = found.output;
  const adapter = typeof type === "string" && /^[a-z][a-z0-9_]*$/.test(type) ? type : null;
  return {
    ...{ profileFrom, target, adapter, secrets, files: filesNamed(found.output, env) },
    warehouseFile: warehouseFile(found.output, env),
    warehouseFiles: warehouseFiles(found.output, env),
  };
}

function defined(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** Text of the server's own profiles.yml; null where profiles come from clients. */
export async function readServerProfiles(profilesDir: string | undefined): Promise<string | null> {
  if (profilesDir === undefined) return null;
  const path = join(profilesDir, "profiles.yml");
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new AppError("bad_profile", `The server's ${path} can't be read.`, {
      hint: "Put a profiles.yml there, or start dbt-server with another --profiles-dir, or with none",
      cause,
    });
  }
}

/** As dbt's own parser reads it. Broken YAML, or a bomb of aliases, says nothing here. */
async function yaml(text: string): Promise<unknown> {
  // Loaded when the first run is posted: the start does not wait for it.
  const { parseDocument } = await import("yaml");
  try {
    const document = parseDocument(text, { version: "1.1", merge: true, uniqueKeys: false, logLevel: "silent" });
    return document.toJS({ maxAliasCount: 1000 });
  } catch {
    return undefined;
  }
}
