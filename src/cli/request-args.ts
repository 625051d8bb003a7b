/** dbt's arguments and flag variables with the paths that the job understands. Pure but for looking at paths. */
import { existsSync } from "node:fs";
import path from "node:path";
import { type DbtArgv, pathOccurrences, rewritePaths } from "../core/dbt-argv.ts";
import { dbtFlagVariables, type Environment, pathOfVariable } from "../core/dbt-environment.ts";
import type { DbtPath } from "../core/dbt-options.ts";
import { OUTSIDE, PROFILES } from "../core/placeholders.ts";
import type { WirePaths } from "./wire-paths.ts";

export interface Folders {
  readonly cwd: string;
  readonly projectDir: string;
  /** The project's folder does not exist: dbt is to say so itself. */
  readonly isMissing?: boolean;
  /** Where dbt keeps its parse state. */
  readonly targetDir?: string;
}

const PARSE_STATE = "partial_parse.msgpack";

/** `run:12` or `run:latest`: artifacts of an earlier run as a state folder; the server knows them. */
const isRunState = (value: string) => /^run:./.test(value);

/** What a path means here. */
export function absolutePath({ base }: DbtPath, value: string, { cwd, projectDir }: Folders): string {
  return path.resolve(base === "cwd" ? cwd : projectDir, value);
}

function wirePath(at: DbtPath, value: string, folders: Folders, paths: WirePaths): string {
  switch (at.kind) {
    case "project-dir":
      return folders.isMissing ? path.basename(value) || "missing" : ".";
    case "profiles-dir":
      return PROFILES;
    case "state":
    case "defer-state":
      return isRunState(value) ? value : paths.folder(absolutePath(at, value, folders));
    case "target-path":
    case "log-path":
      return paths.folder(absolutePath(at, value, folders));
    case "partial-parse-file": {
      // A parse state holds only where it was made: the workspace's own stands for any that there is here.
      const file = absolutePath(at, value, folders);
      return paths.file(existsSync(file) ? path.join(folders.targetDir ?? file, PARSE_STATE) : file);
    }
    case "freshness-output":
    case "timing-file":
      return paths.file(absolutePath(at, value, folders));
  }
}

/** dbt's argv as the job is to run it. An empty path stays empty: dbt has its own opinion on those. */
export function wireArgs(dbt: DbtArgv, folders: Folders, paths: WirePaths): string[] {
  return rewritePaths(dbt, ({ path: at, value }) => (value === "" ? undefined : wirePath(at, value, folders, paths)));
}

/** The environment variables that act as dbt's flags, as the job is to see them. */
export function wireFlagVariables(env: Environment, folders: Folders, paths: WirePaths): Record<string, string> {
  return Object.fromEntries(
    Object.entries(dbtFlagVariables(env)).flatMap(([name, value]) => {
      const at = pathOfVariable(name);
      if (at === null || value === "") return [[name, value]];
      // Where project and profiles lie is the job's own business.
      if (at.kind === "project-dir" || at.kind === "profiles-dir") return [];
      return [[name, wirePath(at, value, folders, paths)]];
    }),
  );
}

/** Local folders that this command reads as `--state` or `--defer-state`; a flag hides the variable. */
export function stateFolders(dbt: DbtArgv, env: Environment, folders: Folders): string[] {
  const typed = pathOccurrences(dbt).map(({ path: at, value }) => ({ at, value }));
  const set = Object.entries(dbtFlagVariables(env)).flatMap(([name, value]) => {
    const at = pathOfVariable(name);
    return at === null || typed.some((other) => other.at.kind === at.kind) ? [] : [{ at, value }];
  });
  const found = [...typed, ...set].filter(
    ({ at, value }) => (at.kind === "state" || at.kind === "defer-state") && value !== "" && !isRunState(value),
  );
  return [...new Set(found.map(({ at, value }) => absolutePath(at, value, folders)))];
}

/** Files that this command is told to write. */
export function outputFiles(dbt: DbtArgv, folders: Folders): string[] {
  return pathOccurrences(dbt)
    .filter(({ path: at, value }) => (at.kind === "freshness-output" || at.kind === "timing-file") && value !== "")
    .map(({ path: at, value }) => absolutePath(at, value, folders));
}

/**
 * The variables that name the folders which dbt_project.yml puts outside of the project: the job brings back only what
 * has a placeholder. Empty where the folders lie inside, or the command says itself where they are.
 */
export function outsideFolders(
  project: { readonly targetDir: string; readonly logDir: string },
  said: { readonly targetPath: string | undefined; readonly logPath: string | undefined },
  paths: WirePaths,
): Record<string, string> {
  const named: Record<string, string> = {};
  const name = (variable: string, folder: string) => {
    const wire = paths.folder(folder);
    if (wire.startsWith(OUTSIDE)) named[variable] = wire;
  };
  if (said.targetPath === undefined) name("DBT_TARGET_PATH", project.targetDir);
  if (said.logPath === undefined) name("DBT_LOG_PATH", project.logDir);
  return named;
}
