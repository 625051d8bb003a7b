/** What a dbt project's own YAML files say about its folders and local packages, read with much tolerance. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseDocument } from "yaml";

/** The files that dbt reads in the folder of a project or package. */
export const PROJECT_FILES = [
  "dbt_project.yml",
  "packages.yml",
  "dependencies.yml",
  "package-lock.yml",
  "selectors.yml",
  "vars.yml",
  "catalogs.yml",
  ".dbtignore",
] as const;

/** A folder that dbt searches. `path` is as dbt joins it to the project; assets are copied whole, unfiltered. */
export interface SourceFolder {
  readonly path: string;
  readonly absolute: string;
  readonly kind: "source" | "asset";
}

/** A dbt project or local package. Paths are absolute but for `cleanTargets` and `localPackages`, as written. */
export interface DbtProject {
  readonly dir: string;
  readonly name: string | undefined;
  readonly folders: readonly SourceFolder[];
  readonly targetDir: string;
  readonly logDir: string;
  readonly packagesDir: string;
  readonly cleanTargets: readonly string[];
  readonly localPackages: readonly string[];
}

/** Renders Jinja in a path; undefined where it can't. */
export type RenderPath = (text: string) => string | undefined;

export interface ReadProjectOptions {
  /** Said by flag or variable; wins over dbt_project.yml. Relative to the project. */
  readonly targetPath?: string | undefined;
  readonly logPath?: string | undefined;
  readonly packagesInstallPath?: string | undefined;
  readonly render?: RenderPath | undefined;
  /** Told what could not be understood. */
  readonly warn?: (message: string) => void;
}

type Mapping = Readonly<Record<string, unknown>>;

function isMapping(value: unknown): value is Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A YAML file's top-level mapping; empty where the file is absent, broken or something else: dbt says so itself. */
export function readYamlMapping(file: string): Mapping {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return {};
  }
  try {
    const document = parseDocument(text, { version: "1.1", merge: true, uniqueKeys: false, logLevel: "silent" });
    const value: unknown = document.toJS({ maxAliasCount: 1000 });
    return isMapping(value) ? value : {};
  } catch {
    return {};
  }
}

/** dbt's keys for folders with its defaults; the older name of a key counts where the newer is absent. */
const SOURCE_KEYS = [
  { keys: ["model-paths", "source-paths"], fallback: ["models"] },
  { keys: ["seed-paths", "data-paths"], fallback: ["seeds"] },
  { keys: ["test-paths"], fallback: ["tests"] },
  { keys: ["analysis-paths"], fallback: ["analyses"] },
  { keys: ["macro-paths"], fallback: ["macros"] },
  { keys: ["snapshot-paths"], fallback: ["snapshots"] },
  { keys: ["function-paths"], fallback: ["functions"] },
  // Without docs-paths dbt looks for docs in all of the above.
  { keys: ["docs-paths"], fallback: [] },
] as const;

/** Reads one project's dbt_project.yml and package files; what is absent or broken counts as dbt's default. */
export function readProject(dir: string, options: ReadProjectOptions = {}): DbtProject {
  const config = readYamlMapping(path.join(dir, "dbt_project.yml"));

  const rendered = (text: string, what: string): string | undefined => {
    if (!/\{[{%]/.test(text)) return text;
    const value = options.render?.(text);
    if (value === undefined) options.warn?.(`${what} is ${text}, which can't be known before dbt runs; not sent.`);
    return value;
  };
  const strings = (key: string): string[] | undefined => {
    const value = config[key];
    if (value === undefined || value === null) return undefined;
    return (Array.isArray(value) ? value : [value])
      .filter((item): item is string => typeof item === "string")
      .map((item) => rendered(item, `${key} in ${path.join(dir, "dbt_project.yml")}`))
      .filter((item) => item !== undefined);
  };
  const one = (said: string | undefined, key: string, fallback: string): string =>
    said ?? strings(key)?.[0] ?? fallback;

  const folders = new Map<string, SourceFolder>();
  const add = (kind: SourceFolder["kind"], written: string): void => {
    const relative = path.posix.normalize(written.replace(/\/+$/, "") || (written.startsWith("/") ? "/" : "."));
    folders.set(`${kind}:${relative}`, { path: relative, absolute: path.resolve(dir, relative), kind });
  };
  for (const { keys, fallback } of SOURCE_KEYS) {
    const written = keys.map(strings).find((value) => value !== undefined) ?? fallback;
    for (const folder of written) add("source", folder);
  }
  for (const folder of strings("asset-paths") ?? []) add("asset", folder);

  const targetPath = one(options.targetPath, "target-path", "target");
  const name = config["name"];
  return {
    dir,
    name: typeof name === "string" ? name : undefined,
    folders: [...folders.values()],
    targetDir: path.resolve(dir, targetPath),
    logDir: path.resolve(dir, one(options.logPath, "log-path", "logs")),
    packagesDir: path.resolve(dir, one(options.packagesInstallPath, "packages-install-path", "dbt_packages")),
    cleanTargets: strings("clean-targets") ?? [targetPath],
    localPackages: localPackagesOf(dir, rendered),
  };
}

function localPackagesOf(dir: string, rendered: (text: string, what: string) => string | undefined): string[] {
  const found = new Set<string>();
  for (const name of ["packages.yml", "dependencies.yml", "package-lock.yml"]) {
    const file = path.join(dir, name);
    const listed = existsSync(file) ? readYamlMapping(file)["packages"] : undefined;
    for (const item of Array.isArray(listed) ? listed : []) {
      const local: unknown = isMapping(item) ? item["local"] : undefined;
      const value = typeof local === "string" ? rendered(local, `A local package in ${file}`) : undefined;
      if (value !== undefined) found.add(value);
    }
  }
  return [...found];
}
