/** Which folders make up what dbt reads: the project, its local packages, and the root that holds them all. */
import { existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import path from "node:path";
import { AppError } from "../core/errors.ts";
import { type DbtProject, type ReadProjectOptions, readProject } from "./project-files.ts";

export interface DescribeOptions extends Omit<ReadProjectOptions, "warn"> {
  /** The user's home folder, which never becomes the common root of a project and its packages. */
  readonly home?: string | undefined;
}

/** A project as the walk needs it. */
export interface ProjectLayout {
  /** Absolute, without links: the deepest folder that holds the project and everything that dbt reads. */
  readonly root: string;
  /** The project's folder in `root`: `.` or a `/`-separated path. */
  readonly projectDir: string;
  readonly project: DbtProject;
  readonly localPackages: readonly DbtProject[];
  /** What a user should know, a sentence each. */
  readonly warnings: readonly string[];
}

/** `/`-separated path of `target` in `root`, `.` for the root itself, undefined outside. */
export function pathInside(root: string, target: string): string | undefined {
  const relative = path.relative(root, target);
  if (relative === "") return ".";
  if (relative === ".." || relative.startsWith(`..${path.sep}`) || path.isAbsolute(relative)) return undefined;
  return path.sep === "/" ? relative : relative.split(path.sep).join("/");
}

function commonAncestor(a: string, b: string): string {
  let ancestor = a;
  while (pathInside(ancestor, b) === undefined) {
    const parent = path.dirname(ancestor);
    if (parent === ancestor) return ancestor;
    ancestor = parent;
  }
  return ancestor;
}

function isFolder(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Local packages that an earlier `dbt deps` linked, also where packages.yml no longer says so plainly. */
function linkedPackages(packagesDir: string): string[] {
  if (!isFolder(packagesDir)) return [];
  return readdirSync(packagesDir, { withFileTypes: true })
    .filter((item) => item.isSymbolicLink())
    .map((item) => path.join(packagesDir, item.name))
    .filter((link) => existsSync(path.join(link, "dbt_project.yml")))
    .map((link) => realpathSync(link));
}

/**
 * Describes the project in a folder. Throws `bad_project` where the folder is none, `path_outside` where project and
 * packages have only `/` or the home folder in common. A broken dbt_project.yml is no error here: dbt reports it.
 */
export function describeProject(projectDir: string, options: DescribeOptions = {}): ProjectLayout {
  if (!isFolder(projectDir))
    throw new AppError("bad_project", `The project folder ${projectDir} does not exist.`, {
      hint: "Give the folder that holds dbt_project.yml with --project-dir.",
    });
  const dir = realpathSync(projectDir);
  const warnings = new Set<string>();
  const warn = (message: string): void => void warnings.add(message);
  const project = readProject(dir, { ...options, warn });

  const packages = new Map<string, DbtProject>();
  const readPackage = (folder: string): void => {
    if (folder === dir || packages.has(folder) || !isFolder(folder)) return;
    const described = readProject(folder, { render: options.render, warn });
    packages.set(folder, described);
    readLocalPackagesOf(described);
  };
  // dbt resolves every `local:` against the root project, that of a package's package too.
  const readLocalPackagesOf = ({ localPackages }: DbtProject): void => {
    for (const local of localPackages) {
      const expanded = options.home === undefined ? local : local.replace(/^~(?=\/|$)/, options.home);
      if (path.isAbsolute(expanded)) warn(`The local package ${local} is an absolute path, which holds here only.`);
      readPackage(path.resolve(dir, expanded));
    }
  };
  readLocalPackagesOf(project);
  for (const folder of linkedPackages(project.packagesDir)) {
    const known = [...packages.keys()].some((other) => realpathSync(other) === folder);
    if (!known) readPackage(folder);
  }

  const root = rootOf(dir, [project, ...packages.values()], options.home);
  return {
    root,
    projectDir: pathInside(root, dir) ?? ".",
    project,
    localPackages: [...packages.values()],
    warnings: [...warnings],
  };
}

function rootOf(dir: string, projects: readonly DbtProject[], home: string | undefined): string {
  const refused = new Set([path.parse(dir).root]);
  if (home !== undefined) refused.add(path.resolve(home));
  if (home !== undefined && existsSync(home)) refused.add(realpathSync(home));
  let root = dir;
  for (const [index, project] of projects.entries()) {
    const own = index === 0 ? [project.packagesDir] : [];
    const folders = project.folders.map((folder) => folder.absolute).concat(own);
    for (const folder of [project.dir, ...folders.filter(existsSync)]) {
      const wider = commonAncestor(root, folder);
      if (wider !== root && refused.has(wider))
        throw new AppError(
          "path_outside",
          `The project ${dir} reads ${folder}, and all that they have in common is ${wider}.`,
          { hint: `Put both into one folder of their own below ${wider}.` },
        );
      root = wider;
    }
  }
  if (refused.has(root) && root === path.parse(root).root)
    throw new AppError("path_outside", `The project lies in ${root} itself.`, { hint: "Move it into a folder." });
  return root;
}
