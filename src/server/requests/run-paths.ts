/** The paths that a run's arguments and variables name: they may not leave the workspace or the run's own folders. */
import { type DbtArgv, pathOccurrences, rewritePaths } from "../../core/dbt-argv.ts";
import { pathOfVariable } from "../../core/dbt-environment.ts";
import { AppError } from "../../core/errors.ts";
import { isInside, PROFILES } from "../../core/placeholders.ts";

/** Whether a value is `run:<ref>`: the artifacts of an earlier run, which becomes a folder before dbt sees it. */
export function runReference(value: string): string | undefined {
  return /^run:(.+)$/s.exec(value)?.[1];
}

/** Throws `path_outside`, naming the option and its value. */
export function checkArgumentPaths(parsed: DbtArgv): void {
  for (const { name, value, path } of pathOccurrences(parsed)) {
    const isState = path.kind === "state" || path.kind === "defer-state";
    if (!(isState && runReference(value) !== undefined)) checkPath(name, value);
  }
}

/** The same for the variables that are dbt's path options. */
export function checkVariablePaths(env: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(env)) if (pathOfVariable(name) !== null) checkPath(name, value);
}

/** Profiles lie in a folder of the run's own, whatever the command says about them. */
export function pointAtProfiles(parsed: DbtArgv): string[] {
  return rewritePaths(parsed, ({ path }) => (path.kind === "profiles-dir" ? PROFILES : undefined));
}

function checkPath(name: string, value: string): void {
  const path = value.replace(/^(\.\/+)+/, "");
  if (path === "" || isInside(path)) return;
  throw new AppError("path_outside", `${name} ${JSON.stringify(value.slice(0, 200))} lies outside of the workspace.`, {
    hint: "Use a path in the project's folder; dbt-remote sends what lies elsewhere by itself",
  });
}
