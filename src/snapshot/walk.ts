/** Finds the files of a snapshot: what dbt reads, and nothing else. Synchronous, for that is several times faster. */
import {
  type Dirent,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  type Stats,
} from "node:fs";
import path from "node:path";
import { AppError } from "../core/errors.ts";
import { compileDbtIgnore, compileGlob, type IsIgnored } from "./dbt-ignore.ts";
import { type SnapshotMode, sortByPath } from "./entry.ts";
import { linkStaysInside, pathProblem } from "./entry-rules.ts";
import { neverSent, secretKind } from "./never-sent.ts";
import { type ProjectLayout, pathInside } from "./project.ts";
import { type DbtProject, PROJECT_FILES } from "./project-files.ts";

/** A file to be sent. `link` is the text of a symbolic link as it is to be recreated. */
export interface FoundFile {
  /** Relative to the snapshot's root, `/`-separated. */
  readonly path: string;
  readonly absolute: string;
  readonly mode: SnapshotMode;
  readonly link: string | undefined;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly ino: number;
}

export interface WalkOptions {
  /** Files, folders and glob patterns to be sent as well, relative to the project. */
  readonly include?: readonly string[];
  /** Files and folders never to be sent, absolute or relative to the project: warehouse files, target, logs. */
  readonly exclude?: readonly string[];
}

/** Which files of a folder are wanted, by name and by path as dbt sees it (relative to the dbt project). */
type Wants = (name: string, dbtPath: string) => boolean;

const everything: Wants = () => true;
/** dbt passes over the files whose names start so. */
const isPassedOver = (name: string): boolean => name.startsWith(".") || name.startsWith("#") || name.startsWith("~");
const READ_BY_DBT = /\.(sql|py|ya?ml|csv|md)$/i;
const MAX_HOPS = 40;

const join = (folder: string, name: string): string => (folder === "." || folder === "" ? name : `${folder}/${name}`);

/** The files of a project's snapshot, sorted by the bytes of their paths. */
export function walkProject(layout: ProjectLayout, options: WalkOptions = {}): FoundFile[] {
  const { root } = layout;
  const never = neverSent(layout, options.exclude ?? []);
  const found = new Map<string, FoundFile>();
  const absoluteOf = (relative: string): string => (relative === "." ? root : path.join(root, relative));

  function add(relative: string, absolute: string, stats: Stats, link?: string): void {
    const problem = pathProblem(relative);
    if (problem !== undefined)
      throw new AppError("bad_project", `The file ${absolute} can't be sent: its path ${problem}.`, {
        hint: "Rename it, or name it in .dbtignore.",
      });
    const executable = process.platform !== "win32" && (stats.mode & 0o100) !== 0;
    found.set(relative, {
      path: relative,
      absolute,
      mode: link !== undefined ? "120000" : executable ? "100755" : "100644",
      link,
      size: link === undefined ? stats.size : Buffer.byteLength(link),
      mtimeMs: stats.mtimeMs,
      ctimeMs: stats.ctimeMs,
      ino: stats.ino,
    });
  }

  function addFile(relative: string, absolute: string, name: string): void {
    if (found.has(relative) || never.file(absolute, name)) return;
    const stats = lstatSync(absolute, { throwIfNoEntry: false });
    if (stats?.isFile()) add(relative, absolute, stats);
    else if (stats === undefined && name.includes("\ufffd"))
      throw new AppError("bad_project", `The name of ${absolute} is not UTF-8.`, { hint: "Rename the file." });
  }

  /** Adds a link and returns what it points to, relative to the root. */
  function addLink(relative: string): string {
    const absolute = absoluteOf(relative);
    const text = readlinkSync(absolute);
    let target = pathInside(root, path.resolve(path.dirname(absolute), text));
    const plain = process.platform === "win32" ? text.replaceAll("\\", "/") : text;
    if (target !== undefined && linkStaysInside(relative, plain)) {
      if (!found.has(relative)) add(relative, absolute, lstatSync(absolute), plain);
      return target;
    }
    // Written as an absolute path, or in a roundabout way: recreated as the plain relative path to the same place.
    const real = realTarget(absolute);
    target = real === undefined ? target : pathInside(root, real);
    if (target === undefined)
      throw new AppError("path_outside", `The link ${absolute} points to ${text}, outside ${root}.`, {
        hint: "Name it in .dbtignore, copy the file into the project, or make its folder a local package.",
      });
    const folder = path.posix.dirname(relative);
    add(relative, absolute, lstatSync(absolute), path.posix.relative(folder, target) || ".");
    return target;
  }

  /** The true place of a path that may lead through links, all of which are added; undefined where there is nothing. */
  function reach(relative: string, hops = 0): { relative: string; stats: Stats } | undefined {
    if (hops > MAX_HOPS) return undefined;
    const parts = relative === "." ? [] : relative.split("/");
    let current = ".";
    let stats = lstatSync(root);
    for (const [index, part] of parts.entries()) {
      current = join(current, part);
      const next = lstatSync(absoluteOf(current), { throwIfNoEntry: false });
      if (next === undefined) return undefined;
      if (next.isSymbolicLink()) return reach(path.posix.join(addLink(current), ...parts.slice(index + 1)), hops + 1);
      stats = next;
    }
    return { relative: current, stats };
  }

  /** Whether a path lies in a folder that is never sent, such as the target folder. */
  function isBarred(relative: string): boolean {
    for (let folder = relative; folder !== "."; folder = path.posix.dirname(folder)) {
      const name = path.posix.basename(folder);
      // Only a search passes over node_modules; who names a file in it wants it.
      if (name !== "node_modules" && never.folder(absoluteOf(folder), name)) return true;
    }
    return false;
  }

  /** Adds the file at a path, through links too. Folders behind links are not followed, as dbt doesn't. */
  function addReached(relative: string): void {
    const place = reach(relative);
    if (place?.stats.isFile() && !isBarred(place.relative))
      addFile(place.relative, absoluteOf(place.relative), path.posix.basename(place.relative));
  }

  function visit(folder: string, absolute: string, dbtFolder: string, wants: Wants): void {
    const items = listFolder(absolute);
    if (absolute !== layout.project.dir && items.some((item) => item.name === "pyvenv.cfg")) return;
    for (const item of items) {
      const { name } = item;
      const relative = join(folder, name);
      const dbtPath = join(dbtFolder, name);
      if (item.isFile()) {
        if (wants(name, dbtPath)) addFile(relative, absolute + path.sep + name, name);
      } else if (item.isDirectory()) {
        const inner = absolute + path.sep + name;
        if (!never.folder(inner, name)) visit(relative, inner, dbtPath, wants);
      } else if (item.isSymbolicLink() && wants(name, dbtPath) && !never.file(absolute + path.sep + name, name)) {
        addReached(relative);
      }
    }
  }

  /** Visits a folder that may be a link. */
  function visitReached(absolute: string, dbtFolder: string, wants: Wants): void {
    const relative = pathInside(root, absolute);
    const place = relative === undefined ? undefined : reach(relative);
    if (place?.stats.isDirectory()) visit(place.relative, absoluteOf(place.relative), dbtFolder, wants);
  }

  function addProject(project: DbtProject): void {
    const dir = pathInside(root, project.dir);
    if (dir === undefined) return;
    for (const name of PROJECT_FILES) addReached(join(dir, name));
    const isIgnored = readDbtIgnore(project.dir);
    for (const { path: written, absolute, kind } of project.folders) {
      if (kind === "asset") {
        visitReached(absolute, written, everything);
        continue;
      }
      // A search path that is the project itself would send whatever lies there: only what dbt reads, then.
      const isWhole = pathInside(absolute, project.dir) !== undefined;
      visitReached(
        absolute,
        written,
        (name, dbtPath) =>
          !isPassedOver(name) && (!isWhole || READ_BY_DBT.test(name)) && !(isIgnored?.(dbtPath) ?? false),
      );
    }
  }

  function addInclude(pattern: string): void {
    const isLiteral = existsSync(path.resolve(layout.project.dir, pattern));
    const { base, rest } = isLiteral ? { base: pattern, rest: "" } : splitGlob(pattern);
    const absolute = path.resolve(layout.project.dir, base);
    const relative = pathInside(root, absolute);
    if (relative === undefined)
      throw new AppError("path_outside", `include: ${pattern} leaves ${root}.`, {
        hint: "Files can be included from the project's folder and from that which its local packages share with it.",
      });
    const place = reach(relative);
    if (place === undefined) return;
    if (isBarred(place.relative))
      throw new AppError("bad_argument", `include: ${pattern} names what is never sent.`, {
        hint: "Target and log folders, .git and warehouse files stay here; take it out of include: in dbt_remote.yml.",
      });
    const placed = absoluteOf(place.relative);
    if (place.stats.isDirectory()) {
      const matches = rest === "" ? undefined : compileGlob(rest);
      visit(place.relative, placed, ".", (_name, inside) => matches?.(inside) ?? true);
    } else if (rest === "") {
      const secret = secretKind(placed, path.basename(placed));
      if (secret !== undefined)
        throw new AppError("path_outside", `include: ${pattern} is ${secret}, which is never sent.`, {
          hint: "Take it out of include: in dbt_remote.yml.",
        });
      addReached(place.relative);
    }
  }

  addProject(layout.project);
  for (const project of layout.localPackages) addProject(project);
  addPackages(layout.project.packagesDir);
  for (const pattern of options.include ?? []) addInclude(pattern);
  return sortByPath([...found.values()]);

  function addPackages(packagesDir: string): void {
    const relative = pathInside(root, packagesDir);
    const place = relative === undefined ? undefined : reach(relative);
    if (place === undefined || !place.stats.isDirectory()) return;
    const absolute = absoluteOf(place.relative);
    for (const item of listFolder(absolute)) {
      const inner = path.join(absolute, item.name);
      // dbt passes over what is no folder; a dangling link is left from a package that is gone.
      if (item.isSymbolicLink()) {
        if (realTarget(inner) !== undefined) addReached(join(place.relative, item.name));
      } else if (item.isDirectory() && !never.folder(inner, item.name)) {
        visit(join(place.relative, item.name), inner, ".", everything);
      }
    }
  }
}

function realTarget(link: string): string | undefined {
  try {
    return realpathSync(link);
  } catch {
    return undefined;
  }
}

function listFolder(absolute: string): Dirent[] {
  try {
    return readdirSync(absolute, { withFileTypes: true });
  } catch (cause) {
    throw new AppError("bad_project", `The folder ${absolute} can't be read.`, { cause });
  }
}

function readDbtIgnore(dir: string): IsIgnored | undefined {
  try {
    return compileDbtIgnore(readFileSync(path.join(dir, ".dbtignore"), "utf8"));
  } catch {
    return undefined;
  }
}

/** The part of a pattern before its first wildcard, and the rest. */
function splitGlob(pattern: string): { base: string; rest: string } {
  const parts = pattern.replace(/\/+$/, "").split("/");
  const first = parts.findIndex((part) => /[*?[]/.test(part));
  if (first < 0) return { base: parts.join("/") || "/", rest: "" };
  return { base: parts.slice(0, first).join("/") || ".", rest: parts.slice(first).join("/") };
}
