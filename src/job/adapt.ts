/** Makes the paths of a run's command and variables those of this machine. Pure. */
import { isAbsolute, join, resolve } from "node:path";
import { type DbtArgv, lastValue, parseDbtArgv, rewritePaths } from "../core/dbt-argv.ts";
import { ALL_OPTIONS } from "../core/dbt-commands.ts";
import { pathOfVariable, valueFromEnvironment } from "../core/dbt-environment.ts";
import { AppError } from "../core/errors.ts";
import { isInside, OUTSIDE, outsideId, PACKAGES_ID, PROFILES } from "../core/placeholders.ts";

/** The folders that a run's paths are made of; all absolute. */
export interface RunFolders {
  /** The project's folder; dbt's current one. */
  readonly project: string;
  /** Holds a folder for each `@outside/<id>`. */
  readonly outside: string;
  /** What `--profiles-dir` means. */
  readonly profiles: string;
  /** The packages folder, where it lies outside of the project. */
  readonly packages?: string;
}

/** The absolute path of a path on the wire. Throws `path_outside` for one that is not inside. */
export function toAbsolute(path: string, folders: RunFolders): string {
  if (path === PROFILES) return folders.profiles;
  const normal = path.replace(/^(\.\/+)+(?=.)/, "");
  if (normal === "." || normal === "./") return folders.project;
  if (isAbsolute(path) || !isInside(normal)) {
    throw new AppError("path_outside", `The path ${JSON.stringify(path)} lies outside of the run's folders.`);
  }
  const id = outsideId(normal);
  return id === undefined
    ? resolve(folders.project, normal)
    : join(folders.outside, id, normal.slice(OUTSIDE.length + id.length));
}

/** The path on the wire of an absolute one; undefined outside of project, packages and `@outside/`. */
export function toWire(absolute: string, folders: RunFolders): string | undefined {
  const inPackages = folders.packages === undefined ? undefined : below(folders.packages, absolute);
  if (inPackages !== undefined) return `${OUTSIDE}${PACKAGES_ID}/${inPackages}`;
  const outside = below(folders.outside, absolute);
  if (outside !== undefined) return `${OUTSIDE}${outside}`;
  return below(folders.project, absolute);
}

/** dbt's argv. Only placeholders change: a relative path means the same to dbt, whose current folder is the project. */
export function adaptArgs(args: readonly string[], folders: RunFolders): string[] {
  return rewritePaths(parseDbtArgv(args), ({ value }) =>
    value === PROFILES || value.startsWith(OUTSIDE) ? toAbsolute(value, folders) : undefined,
  );
}

/** Values of dbt's path variables, with placeholders resolved. */
export function adaptVariables(env: Readonly<Record<string, string>>, folders: RunFolders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).map(([name, value]) => {
      const isPlaceholder = value === PROFILES || value.startsWith(OUTSIDE);
      return [name, isPlaceholder && pathOfVariable(name) !== null ? toAbsolute(value, folders) : value];
    }),
  );
}

/** The value that dbt takes for a path option: typed, else from the environment. Undefined: dbt_project.yml or dbt's default. */
export function pathSetting(
  parsed: DbtArgv,
  name: "--target-path" | "--log-path" | "--partial-parse-file-path",
  env: Readonly<Record<string, string>>,
): string | undefined {
  const option = ALL_OPTIONS.find((each) => each.names.includes(name));
  return lastValue(parsed, name) ?? (option === undefined ? undefined : valueFromEnvironment(option, env));
}

function below(folder: string, absolute: string): string | undefined {
  return absolute.startsWith(`${folder}/`) ? absolute.slice(folder.length + 1) : undefined;
}
