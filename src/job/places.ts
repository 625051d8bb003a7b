/** Where dbt will write, told from flags, variables and dbt_project.yml as dbt itself does. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { hasFlag, parseDbtArgv, pathOccurrences } from "../core/dbt-argv.ts";
import { pathOfVariable } from "../core/dbt-environment.ts";
import { renderEnvVar } from "../core/jinja-env-var.ts";
import { readProject } from "../snapshot/project-files.ts";
import { pathSetting } from "./adapt.ts";

/** dbt's own memory of the project: large, of no use elsewhere, and kept in the workspace. */
export const PARSE_STATE = "partial_parse.msgpack";

/** Absolute paths. */
export interface OutputPlaces {
  readonly targetDir: string;
  readonly logDir: string;
  readonly packagesDir: string;
  /** Single files that a flag names. */
  readonly files: readonly string[];
  /** Whether the command may write the lists of packages. */
  readonly writesLists: boolean;
  /** Whether it installs packages, so that they are part of what it makes. */
  readonly installsPackages: boolean;
}

export interface PlacesParams {
  readonly project: string;
  /** dbt's argv and environment, with the paths of this machine. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export function outputPlaces({ project, args, env }: PlacesParams): OutputPlaces {
  const parsed = parseDbtArgv(args);
  const described = readProject(project, {
    targetPath: pathSetting(parsed, "--target-path", env),
    logPath: pathSetting(parsed, "--log-path", env),
    render: (text) => renderEnvVar(text, env),
  });
  const files = pathOccurrences(parsed)
    .filter(({ path }) => path.kind === "freshness-output" || path.kind === "timing-file")
    .map(({ value }) => resolve(project, value));
  return {
    targetDir: described.targetDir,
    logDir: described.logDir,
    packagesDir: described.packagesDir,
    files,
    writesLists: parsed.verb === "deps",
    installsPackages: parsed.verb === "deps" && !hasFlag(parsed, "--lock"),
  };
}

/** dbt refuses a parse state that is not there; the workspace's own may have yet to be made, and an empty one counts as none. */
export function makeParseState({ project, args, env }: PlacesParams, targetDir: string): void {
  const typed = pathOccurrences(parseDbtArgv(args)).map(({ path, value }) => ({ kind: path.kind, value }));
  const set = Object.entries(env).map(([name, value]) => ({ kind: pathOfVariable(name)?.kind, value }));
  const own = join(targetDir, PARSE_STATE);
  const isNamed = [...typed, ...set].some(
    ({ kind, value }) => kind === "partial-parse-file" && resolve(project, value) === own,
  );
  if (!isNamed || existsSync(own)) return;
  mkdirSync(targetDir, { recursive: true });
  writeFileSync(own, "");
}

/** dbt.log and what dbt renamed when it grew too long, the oldest first. */
export function logFiles(logDir: string): string[] {
  const age = (name: string): number => Number(name.slice("dbt.log.".length));
  return namesIn(logDir)
    .filter((name) => /^dbt\.log(\.\d+)?$/.test(name))
    .sort((a, b) => age(b) - age(a))
    .map((name) => join(logDir, name));
}

/** So that afterwards dbt.log holds what this run has written. */
export function removeLogs(logDir: string): void {
  for (const file of logFiles(logDir)) rmSync(file, { force: true });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
