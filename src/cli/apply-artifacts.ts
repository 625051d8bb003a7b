/** Puts what a run made where local dbt would have put it. Nothing else is touched, and nothing but packages deleted. */
import { mkdir, rename, rm, symlink } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { OUTSIDE, outsideId } from "../core/placeholders.ts";
import { type PackItem, readPack } from "../snapshot/read-pack.ts";
import type { Places } from "./places.ts";
import { appendWhole, type Content, draftName, type KnownFolders, makeFolders, writeWhole } from "./safe-write.ts";
import { realPath } from "./wire-paths.ts";

export interface ApplyOptions {
  readonly pack: AsyncIterable<Uint8Array>;
  readonly places: Places;
  /** Whether `dbt_packages/` is to become what the pack holds: after a successful `deps`. */
  readonly replacePackages: boolean;
  /** False where the run's log lines are in the local file already. */
  readonly appendLog: boolean;
}

export interface Applied {
  readonly files: number;
  /** Paths that were not written, and why. */
  readonly refused: readonly string[];
}

/** A run may make much; a pack that unfolds to more than this is no honest one. */
export const PACK_LIMITS = { maxEntries: 500_000, maxBytes: 64 * 2 ** 30, maxEntryBytes: 16 * 2 ** 30 };

/** What `deps` writes in the project's own folder. */
const PROJECT_FILES = new Set(["package-lock.yml", "packages.yml", "dependencies.yml"]);

/** Where a file goes; `root` is the folder whose links are the user's own. */
type Destination =
  | { readonly kind: "file" | "log" | "package"; readonly root: string; readonly file: string }
  | { readonly kind: "none"; readonly why: string | null };

const isBelow = (folder: string, file: string) => file.startsWith(folder + path.sep);

function destinationOf(item: PackItem, places: Places): Destination {
  const none = (why: string | null): Destination => ({ kind: "none", why });
  const id = outsideId(item.path);
  const outside = id === undefined ? undefined : places.outside[id];
  if (id !== undefined && outside === undefined) return none("its folder is not known here");
  const file =
    id === undefined || outside === undefined
      ? path.join(places.projectDir, ...item.path.split("/"))
      : path.join(outside, ...item.path.slice(OUTSIDE.length + id.length + 1).split("/"));
  if (path.basename(file) === "partial_parse.msgpack") return none(null);
  if (isBelow(places.packagesDir, file)) return { kind: "package", root: places.packagesDir, file };
  if (item.link !== undefined) return none("it is a link");
  if (file === path.join(places.logDir, "dbt.log")) return { kind: "log", root: places.logDir, file };
  for (const root of [places.targetDir, places.logDir, ...(outside === undefined ? [] : [outside])]) {
    if (isBelow(root, file)) return { kind: "file", root, file };
  }
  const isAsked = places.outputs.includes(file);
  const isOwn = path.dirname(file) === places.projectDir && PROJECT_FILES.has(path.basename(file));
  if (isAsked || isOwn) return { kind: "file", root: isAsked ? path.dirname(file) : places.projectDir, file };
  return none("dbt has no business there");
}

/** Throws where the pack is broken or a file can't be written; what was written by then stays. */
export async function applyArtifacts(options: ApplyOptions): Promise<Applied> {
  const { places, replacePackages, appendLog } = options;
  const source = Readable.from(options.pack, { objectMode: false });
  const staging = replacePackages ? await stagingFor(places.packagesDir) : undefined;
  const known: KnownFolders = new Set();
  const refused: string[] = [];
  let files = 0;
  try {
    for await (const item of readPack(source, PACK_LIMITS)) {
      const to = destinationOf(item, places);
      const mode = item.mode === "100755" ? 0o755 : 0o644;
      if (to.kind === "none") {
        if (to.why !== null) refused.push(`${item.path}: ${to.why}`);
        continue;
      }
      if (to.kind === "package") {
        if (staging === undefined) continue;
        await stagePackageFile({ staging, known }, path.relative(to.root, to.file), item, mode);
      } else {
        // The folder itself may be the user's own link to another disk.
        const root = realPath(to.root);
        const file = path.join(root, path.relative(to.root, to.file));
        makeFolders(root, path.dirname(file), known);
        if (to.kind === "file") await writeWhole(file, await contentOf(item), mode);
        else if (appendLog) await appendWhole(file, await contentOf(item));
      }
      files += 1;
    }
    if (staging !== undefined) await replaceFolder(places, staging);
  } finally {
    source.destroy();
    if (staging !== undefined) await rm(staging, { recursive: true, force: true });
  }
  return { files, refused };
}

async function stagingFor(packagesDir: string): Promise<string> {
  const staging = draftName(realPath(packagesDir));
  await mkdir(staging, { recursive: true });
  return staging;
}

/** Files up to this size are taken as a whole. */
const SMALL_BYTES = 1024 * 1024;

async function contentOf(item: PackItem): Promise<Content> {
  return item.size <= SMALL_BYTES ? item.bytes() : item.content;
}

interface Staging {
  readonly staging: string;
  readonly known: KnownFolders;
}

async function stagePackageFile(
  { staging, known }: Staging,
  relative: string,
  item: PackItem,
  mode: number,
): Promise<void> {
  const file = path.join(staging, relative);
  // A package's link to another place; those to local packages are made anew below.
  if (item.link !== undefined && path.dirname(relative) === ".") return;
  makeFolders(staging, path.dirname(file), known);
  if (item.link === undefined) await writeWhole(file, await contentOf(item), mode);
  else await symlink(item.link, file);
}

/** The new packages take the place of the old ones in one step; local packages are links, as dbt makes them. */
async function replaceFolder({ packagesDir, localPackages }: Places, staging: string): Promise<void> {
  const target = realPath(packagesDir);
  for (const [name, folder] of Object.entries(localPackages)) {
    if (/^[^/\\]+$/.test(name) && !name.startsWith(".")) await symlink(folder, path.join(staging, name), "junction");
  }
  const old = draftName(target);
  const hadOld = await rename(target, old).then(
    () => true,
    () => false,
  );
  try {
    await rename(staging, target);
  } catch (error) {
    if (hadOld) await rename(old, target);
    throw error;
  }
  if (hadOld) await rm(old, { recursive: true, force: true });
}
