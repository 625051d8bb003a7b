/** Local paths as they travel: relative to the project's folder, or a placeholder for a folder outside of it. */
import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import path from "node:path";
import { OUTSIDE } from "../core/placeholders.ts";

export interface WirePaths {
  /** A folder as the job knows it. */
  folder(absolute: string): string;
  /** A file as the job knows it; outside, its folder gets the placeholder. */
  file(absolute: string): string;
  /** Local folders by the id of their placeholder. */
  readonly outside: Readonly<Record<string, string>>;
}

/** `/`-separated path of `target` in `folder`, `.` for itself, undefined outside. */
function inside(folder: string, target: string): string | undefined {
  const relative = path.relative(folder, target);
  if (relative === "") return ".";
  if (relative === ".." || relative.startsWith(`..${path.sep}`) || path.isAbsolute(relative)) return undefined;
  // A backslash in a name can't travel as a path.
  if (path.sep === "/" && relative.includes("\\")) return undefined;
  return relative.split(path.sep).join("/");
}

/** The path without links, as far as it exists. */
export function realPath(absolute: string): string {
  try {
    return realpathSync(absolute);
  } catch {
    const parent = path.dirname(absolute);
    return parent === absolute ? absolute : path.join(realPath(parent), path.basename(absolute));
  }
}

export function createWirePaths(projectDir: string): WirePaths {
  const outside: Record<string, string> = {};
  const within = (absolute: string) => inside(projectDir, absolute) ?? inside(realPath(projectDir), realPath(absolute));
  const placeholder = (absolute: string) => {
    const id = createHash("sha256").update(absolute).digest("hex").slice(0, 12);
    outside[id] = absolute;
    return `${OUTSIDE}${id}`;
  };
  return {
    folder: (absolute) => within(absolute) ?? placeholder(absolute),
    file: (absolute) => within(absolute) ?? `${placeholder(path.dirname(absolute))}/${path.basename(absolute)}`,
    outside,
  };
}
