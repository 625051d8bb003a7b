/** Projects that a test writes itself, and what is in a folder. */
import { lstatSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { tempFolder } from "../harness.ts";

/** Texts by path; writes them below a folder, which is a new one by default, and gives the folder. */
export function writeFiles(files: Readonly<Record<string, string>>, folder: string = tempFolder("project")): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

/** A dbt_project.yml for the profile `p`. */
export function projectYaml(more = ""): string {
  return `name: p\nprofile: p\nflags: {send_anonymous_usage_stats: false}\n${more}`;
}

/** A profiles.yml whose DuckDB file lies in the project. */
export const DUCKDB_PROFILE = "p:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: p.duckdb, threads: 1}\n";

/** Paths of all files below a folder, sorted; a link is a file. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => join(folder, path))
    .filter((path) => !lstatSync(path).isDirectory())
    .map((path) => relative(folder, path))
    .sort();
}
