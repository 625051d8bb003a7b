/** Where dbt will write, told from flags, variables and dbt_project.yml as dbt itself does. */
import { readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { hasFlag, parseDbtArgv, pathOccurrences } from "../core/dbt-argv.ts";
import { renderEnvVar } from "../core/jinja-env-var.ts";
import { readProject } from "../snapshot/project-files.ts";
import { pathSetting } from "./adapt.ts";

/** Absolute paths. */
export interface OutputPlaces {
  readonly targetDir: string;
  readonly logDir: string;
  readonly packagesDir: string;
  /** Single files that a flag names. */
  readonly files: readonly string[];
  /** Whether the command installs packages, so that they are part of what it makes. */
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
    installsPackages: parsed.verb === "deps" && !hasFlag(parsed, "--lock"),
  };
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
