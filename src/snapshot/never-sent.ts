/** What is never part of a snapshot, wherever it stands. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import path from "node:path";
import type { ProjectLayout } from "./project.ts";

const FOLDER_NAMES: ReadonlySet<string> = new Set([".git", "__pycache__", "node_modules"]);
const FILE_NAMES: ReadonlySet<string> = new Set([".DS_Store"]);
/** Files that a database keeps beside its own. */
const DATABASE_SUFFIXES = ["", ".wal", "-wal", "-shm", "-journal"];

/** Paths that belong to a warehouse file: itself and what the database keeps beside it. */
export function warehousePaths(file: string): string[] {
  return DATABASE_SUFFIXES.map((suffix) => file + suffix);
}

/** Whether a file is one of dbt's profiles, not the YAML file of a model that happens to be called `profiles`. */
function isProfiles(file: string): boolean {
  try {
    return /^\s+["']?outputs["']?\s*:|[{,]\s*["']?outputs["']?\s*:/m.test(readFileSync(file, "utf8"));
  } catch {
    return true;
  }
}

/** Why a file holds secrets by its name and kind, or undefined. */
export function secretKind(absolute: string, name: string): string | undefined {
  if (/^\.env(\.|$)/.test(name)) return "an environment file";
  if (/^profiles\.ya?ml$/i.test(name) && isProfiles(absolute)) return "a file of dbt profiles";
  return undefined;
}

export interface NeverSent {
  folder(absolute: string, name: string): boolean;
  file(absolute: string, name: string): boolean;
}

/** `exclude` names files and folders, absolute or relative to the project. */
export function neverSent(layout: ProjectLayout, exclude: readonly string[]): NeverSent {
  const { project, localPackages } = layout;
  const folders = new Set<string>();
  for (const { dir, targetDir, logDir } of [project, ...localPackages])
    for (const folder of [targetDir, logDir]) if (folder !== dir && folder !== layout.root) folders.add(folder);
  const files = new Set<string>([path.join(project.dir, "dbt_remote.yml")]);
  for (const item of exclude) {
    const absolute = path.resolve(project.dir, item);
    for (const place of existsSync(absolute) ? [absolute, realpathSync(absolute)] : [absolute]) {
      if (place !== project.dir && place !== layout.root) folders.add(place);
      for (const file of warehousePaths(place)) files.add(file);
    }
  }
  return {
    folder: (absolute, name) => FOLDER_NAMES.has(name) || folders.has(absolute),
    file: (absolute, name) => FILE_NAMES.has(name) || files.has(absolute) || secretKind(absolute, name) !== undefined,
  };
}
