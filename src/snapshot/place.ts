/** A root to write into: never through a link, never outside, never onto a protected file. */
import { chmodSync, lstatSync, mkdirSync, readdirSync, rmdirSync, rmSync, type Stats, unlinkSync } from "node:fs";
import path from "node:path";
import { AppError } from "../core/errors.ts";
import { pathProblem } from "./entry-rules.ts";
import { warehousePaths } from "./never-sent.ts";

/** Paths are relative to the root and `/`-separated. */
export interface Place {
  readonly root: string;
  absolute(path: string): string;
  isProtected(path: string): boolean;
  /** The stat of what stands at a path, where true folders lead to it; a link is not followed. */
  statInside(path: string): Stats | undefined;
  /** Removes a file or link, and the folders that it leaves empty. False where there was none. */
  remove(path: string): boolean;
  /** Makes the folders that lead to a path, and removes whatever is in the way of a new file there. */
  clear(path: string): void;
  setMode(path: string, executable: boolean): void;
}

export function createPlace(root: string, protect: readonly string[]): Place {
  const protectedPaths = new Set(protect.map((item) => path.posix.normalize(item)).flatMap(warehousePaths));
  /** Folders known to be true ones, relative; forgotten when something is removed. */
  const trueFolders = new Set<string>();

  const absolute = (relative: string): string => path.join(root, relative);
  const stat = (relative: string): Stats | undefined => {
    try {
      return lstatSync(absolute(relative), { throwIfNoEntry: false });
    } catch (error) {
      // ENOTDIR: a file stands where a folder would lead there.
      if (error instanceof Error && "code" in error && error.code === "ENOTDIR") return undefined;
      throw error;
    }
  };

  function foldersOf(relative: string): string[] {
    const folders: string[] = [];
    for (let end = relative.indexOf("/"); end > 0; end = relative.indexOf("/", end + 1))
      folders.push(relative.slice(0, end));
    return folders;
  }

  function leadsThere(relative: string): boolean {
    const parent = path.posix.dirname(relative);
    if (parent === "." || trueFolders.has(parent)) return true;
    for (const folder of foldersOf(relative)) {
      if (trueFolders.has(folder)) continue;
      if (!stat(folder)?.isDirectory()) return false;
      trueFolders.add(folder);
    }
    return true;
  }

  function refuseProtected(relative: string): void {
    if (protectedPaths.has(relative))
      throw new AppError("bad_project", `${relative} is in the way of the project's files, but is a warehouse file.`, {
        hint: "Rename the file of the project, or move the warehouse file in the profile.",
      });
  }

  function refuseProtectedIn(folder: string): void {
    for (const item of readdirSync(absolute(folder), { withFileTypes: true })) {
      refuseProtected(`${folder}/${item.name}`);
      if (item.isDirectory()) refuseProtectedIn(`${folder}/${item.name}`);
    }
  }

  function removeEmptyFolders(relative: string): void {
    for (const folder of foldersOf(relative).reverse()) {
      try {
        rmdirSync(absolute(folder));
      } catch {
        return;
      }
      trueFolders.delete(folder);
    }
  }

  return {
    root,
    absolute,
    isProtected: (relative) => protectedPaths.has(relative),
    statInside: (relative) => (leadsThere(relative) ? stat(relative) : undefined),
    remove(relative) {
      if (pathProblem(relative) !== undefined || protectedPaths.has(relative) || !leadsThere(relative)) return false;
      const stats = stat(relative);
      const isOurs = stats?.isFile() || stats?.isSymbolicLink();
      if (isOurs) unlinkSync(absolute(relative));
      removeEmptyFolders(relative);
      return isOurs ?? false;
    },
    clear(relative) {
      const problem = pathProblem(relative);
      if (problem !== undefined) throw new AppError("path_outside", `The path ${JSON.stringify(relative)} ${problem}.`);
      for (const folder of foldersOf(relative)) {
        if (trueFolders.has(folder)) continue;
        const stats = stat(folder);
        if (stats !== undefined && !stats.isDirectory()) {
          refuseProtected(folder);
          unlinkSync(absolute(folder));
        }
        if (!stats?.isDirectory()) mkdirSync(absolute(folder));
        trueFolders.add(folder);
      }
      const stats = stat(relative);
      if (stats?.isDirectory()) {
        refuseProtectedIn(relative);
        rmSync(absolute(relative), { recursive: true });
        for (const folder of trueFolders)
          if (folder === relative || folder.startsWith(`${relative}/`)) trueFolders.delete(folder);
      } else if (stats !== undefined) {
        unlinkSync(absolute(relative));
      }
    },
    setMode(relative, executable) {
      const stats = stat(relative);
      if (process.platform === "win32" || stats === undefined) return;
      if (((stats.mode & 0o100) !== 0) !== executable) chmodSync(absolute(relative), executable ? 0o755 : 0o644);
    },
  };
}
