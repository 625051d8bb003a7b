/** Where dbt would look for the project and its profiles. */
import { existsSync } from "node:fs";
import path from "node:path";
import { type DbtArgv, lastValue } from "../core/dbt-argv.ts";
import { findOption } from "../core/dbt-commands.ts";
import { valueFromEnvironment } from "../core/dbt-environment.ts";
import type { Env } from "./context.ts";
import { homeFolder } from "./folders.ts";

/** What flag, then environment, say of a dbt option. */
export function dbtValue(dbt: DbtArgv, env: Env, name: string): string | undefined {
  const typed = lastValue(dbt, name);
  if (typed !== undefined) return typed;
  const option = findOption(dbt.command, name)?.option;
  return option === undefined ? undefined : valueFromEnvironment(option, env);
}

/** The nearest folder upwards with a dbt_project.yml, else the current one. Absolute. */
export function nearestProjectDir(cwd: string): string {
  for (let at = cwd; ; at = path.dirname(at)) {
    if (existsSync(path.join(at, "dbt_project.yml"))) return at;
    if (path.dirname(at) === at) return cwd;
  }
}

/** The project's folder as this command means it; absolute. */
export function projectDirOf(dbt: DbtArgv, context: { readonly env: Env; readonly cwd: string }): string {
  const said = dbtValue(dbt, context.env, "--project-dir");
  return said === undefined ? nearestProjectDir(context.cwd) : path.resolve(context.cwd, said);
}

/** The folder of profiles.yml as this command means it; absolute. */
export function profilesDirOf(dbt: DbtArgv, context: { readonly env: Env; readonly cwd: string }): string {
  const { cwd, env } = context;
  const said = dbtValue(dbt, env, "--profiles-dir");
  if (said !== undefined) return path.resolve(cwd, said);
  return existsSync(path.join(cwd, "profiles.yml")) ? cwd : path.join(homeFolder(env), ".dbt");
}
