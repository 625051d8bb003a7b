/** The part of profiles.yml that a run needs, as it will travel. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { type Document, parseDocument } from "yaml";
import { filesNamed, warehouseFiles } from "../core/dbt-connection.ts";
import { type Environment, namesUsed } from "../core/dbt-environment.ts";
import { isMapping, type ProfileChoice, profileInUse, trimProfile } from "../core/dbt-profile.ts";
import type { EnvelopeFile } from "../core/envelope.ts";
import { AppError } from "../core/errors.ts";
import { PROFILES } from "../core/placeholders.ts";
import { verbatimTree, withText, writeVerbatim } from "./yaml-verbatim.ts";

export interface TravellingProfile {
  /** Text of the trimmed profiles.yml; null where nothing can be sent: the server may have one. */
  readonly text: string | null;
  readonly files: readonly EnvelopeFile[];
  /** Database files of the connection, as written: never part of a snapshot. */
  readonly warehouseFiles: readonly string[];
  /** Names of the environment variables that the sent part uses. */
  readonly envNames: readonly string[];
  /** What a user should know, a sentence each. */
  readonly notices: readonly string[];
}

const NOTHING: TravellingProfile = { text: null, files: [], warehouseFiles: [], envNames: [], notices: [] };
const MAX_FILE_BYTES = 1024 * 1024;

export interface ProfileOptions {
  readonly profilesDir: string;
  readonly projectDir: string;
  /** Parsed dbt_project.yml. */
  readonly project: unknown;
  readonly choice: ProfileChoice;
  readonly env: Environment;
  readonly home: string;
  readonly sendKeyfile: boolean;
}

function parseProfiles(file: string): Document.Parsed {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new AppError("bad_profile", `${file} can't be read.`, { cause });
  }
  // As PyYAML, which dbt reads it with: YAML 1.1, merge keys, and the last of two equal keys wins.
  const document = parseDocument(text, { version: "1.1", merge: true, uniqueKeys: false, logLevel: "silent" });
  const [error] = document.errors;
  if (error !== undefined) {
    throw new AppError("bad_profile", `${file} is no YAML: ${error.message.split("\n")[0]}`, {
      hint: "Correct it; dbt can't read it either.",
      cause: error,
    });
  }
  return document;
}

/** Reads, trims and rewrites. A profile that can't be found is no error: dbt says so itself, in its own words. */
export function travellingProfile(options: ProfileOptions): TravellingProfile {
  const { profilesDir, project, choice, env } = options;
  const file = path.join(profilesDir, "profiles.yml");
  if (!existsSync(file)) return NOTHING;
  const document = parseProfiles(file);
  const used = profileInUse({ project, profiles: document.toJS({ maxAliasCount: 1000 }), choice, env });
  if (used.problem === "no_profile") return NOTHING;
  const { profileName, targetName } = used;
  if (profileName === undefined) {
    throw new AppError("bad_profile", "The name of the profile in dbt_project.yml can't be told before dbt runs.", {
      hint: "Name it: --profile NAME (or DBT_PROFILE).",
    });
  }
  let tree: unknown;
  try {
    tree = trimProfile(verbatimTree(document), profileName, targetName);
  } catch (cause) {
    throw new AppError("bad_profile", `${file} can't be used: ${cause instanceof Error ? cause.message : cause}.`, {
      cause,
    });
  }
  const output = used.problem === null ? used.output : undefined;
  const files: EnvelopeFile[] = [];
  const notices: string[] = [];
  for (const { field, path: written } of filesNamed(output, env)) {
    const absolute = path.resolve(options.projectDir, written.replace(/^~(?=[/\\]|$)/, options.home));
    if (!options.sendKeyfile) {
      notices.push(`the profile's ${field} is the file ${written}, which is not sent (--send-keyfile sends it)`);
      continue;
    }
    const name = `${files.length}-${path.basename(absolute).replace(/[^A-Za-z0-9._-]/g, "_")}`;
    files.push({ name, contentBase64: readKeyfile(absolute, field).toString("base64") });
    const keys = [profileName, "outputs", targetName ?? "", ...field.split(".")];
    tree = withText(tree, keys, `${PROFILES}/${name}`);
  }
  const text = isMapping(tree) ? `${writeVerbatim(tree).trimStart()}\n` : null;
  return {
    text,
    files,
    warehouseFiles: warehouseFiles(output, env),
    envNames: namesUsed(text ?? ""),
    notices,
  };
}

function readKeyfile(absolute: string, field: string): Buffer {
  try {
    const content = readFileSync(absolute);
    if (content.length > MAX_FILE_BYTES) throw new Error(`it has ${content.length} bytes`);
    return content;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AppError("bad_profile", `The profile's ${field} can't be sent: ${reason}.`, { cause });
  }
}
