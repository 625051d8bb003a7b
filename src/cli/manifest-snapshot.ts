/** The few files of a run that works from a manifest.json in place of the project's SQL. */
import { createReadStream, existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import path from "node:path";
import { namesUsed } from "../core/dbt-environment.ts";
import { AppError } from "../core/errors.ts";
import { type SnapshotEntry, snapshotId, sortByPath } from "../snapshot/entry.ts";
import { hashFile } from "../snapshot/hash.ts";
import type { ProjectLayout } from "../snapshot/project.ts";
import type { Sendable } from "./upload.ts";

export interface ManifestOptions {
  /** Absolute paths. */
  readonly manifest: string;
  readonly extraPackages: string | undefined;
  readonly seedsPath: string | undefined;
  readonly layout: ProjectLayout;
}

const FILES = ["dbt_project.yml", "packages.yml", "dependencies.yml", "package-lock.yml", "selectors.yml", "vars.yml"];

function required(file: string, option: string): string {
  if (existsSync(file)) return file;
  throw new AppError("bad_argument", `${option} names ${file}, which does not exist.`, {
    hint: "dbt parse (or dbt-remote parse) writes target/manifest.json.",
  });
}

function seedsIn(folder: string, at: string): [string, string][] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile() && /\.(csv|ya?ml)$/i.test(item.name))
    .map((item) => {
      const absolute = path.join(item.parentPath, item.name);
      return [`${at}/${path.relative(folder, absolute).split(path.sep).join("/")}`, absolute];
    });
}

/** Local files by their path in the snapshot, whose root is the project. */
function chosenFiles({ manifest, extraPackages, seedsPath, layout }: ManifestOptions): Map<string, string> {
  const { project } = layout;
  const files = new Map<string, string>();
  for (const name of FILES) {
    const absolute = path.join(project.dir, name);
    if (existsSync(absolute)) files.set(name, absolute);
  }
  if (extraPackages !== undefined) files.set("packages.yml", required(extraPackages, "--extra-packages"));
  const packages = existsSync(project.packagesDir) ? readdirSync(project.packagesDir) : [];
  const inside = path.relative(project.dir, project.packagesDir).split(path.sep).join("/");
  for (const name of packages) {
    const absolute = path.join(project.packagesDir, name, "dbt_project.yml");
    if (existsSync(absolute)) files.set(`${inside}/${name}/dbt_project.yml`, realpathSync(absolute));
  }
  const seedPath =
    project.folders.find((folder) => existsSync(folder.absolute) && isSeeds(folder.path))?.path ?? "seeds";
  for (const [name, absolute] of seedsIn(seedsPath ?? path.join(project.dir, seedPath), seedPath)) {
    files.set(name, absolute);
  }
  files.set("target/manifest.json", required(manifest, "--manifest"));
  return files;
}

function isSeeds(folder: string): boolean {
  return folder === "seeds" || folder === "data";
}

export interface ManifestSnapshot extends Sendable {
  /** Names of the environment variables that the manifest's code and the files beside it use. */
  readonly envNames: readonly string[];
}

/** Text files in which dbt renders Jinja; the manifest holds the code of all models. */
const SCANNED = /\.(ya?ml|json)$/;

/** Hashes the files of a manifest-only run. */
export async function manifestSnapshot(options: ManifestOptions): Promise<ManifestSnapshot> {
  const files = chosenFiles(options);
  const entries: SnapshotEntry[] = [];
  const envNames = new Set<string>();
  for (const [name, absolute] of files) {
    if (SCANNED.test(name)) for (const each of namesUsed(readFileSync(absolute, "utf8"))) envNames.add(each);
    const { sha256, size } = await hashFile(absolute, statSync(absolute).size);
    entries.push({ path: name, mode: "100644", sha256, size });
  }
  const sorted = sortByPath(entries);
  return {
    id: snapshotId(sorted),
    entries: sorted,
    envNames: [...envNames],
    open: ({ path: name }, offset = 0) => createReadStream(files.get(name) ?? name, { start: offset }),
  };
}
