/** What dbt made: found, freed of secrets, packed, and put into State. */
import { createReadStream, lstatSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { isInside } from "../core/placeholders.ts";
import { warehousePaths } from "../snapshot/never-sent.ts";
import { type PackInput, packStream } from "../snapshot/pack.ts";
import type { ArtifactStore } from "../state/artifacts.ts";
import { type RunFolders, toWire } from "./adapt.ts";
import { cleanFile } from "./clean-secrets.ts";
import { changedFiles, type Listing, listFiles } from "./listing.ts";
import { logFiles, type OutputPlaces, PARSE_STATE } from "./places.ts";

/** Name of the pack of all that dbt made or changed. */
export const TARGET_PACK = "target";
/** What `dbt deps` may write beside the packages folder. */
const PACKAGE_LISTS = ["package-lock.yml", "packages.yml", "dependencies.yml"];
const SMALL_FILE_BYTES = 1024 * 1024;
/** Fast rather than small: who waits for dbt's end waits for this. */
const LEVEL = 2;

export interface ArtifactsParams {
  readonly runId: string;
  readonly folders: RunFolders;
  readonly places: OutputPlaces;
  /** Of `watchedPaths`, taken before dbt started. */
  readonly before: Listing;
  /** Warehouse files, absolute: never touched, never sent. */
  readonly warehouse: readonly string[];
  readonly secrets: readonly string[];
  readonly succeeded: boolean;
  readonly artifacts: ArtifactStore;
}

export interface StoredArtifacts {
  /** Number of files. */
  readonly count: number;
  /** What could not be kept, a sentence each. */
  readonly warnings: readonly string[];
}

/** What is to be listed before dbt starts, so that it is known afterwards what it made. */
export function watchedPaths(folders: RunFolders, places: OutputPlaces): string[] {
  const lists = places.writesLists ? PACKAGE_LISTS.map((name) => join(folders.project, name)) : [];
  return [places.targetDir, ...places.files, ...lists];
}

/** Puts one pack of everything that dbt made or changed into State. Throws where State can't take it. */
export async function storeArtifacts(params: ArtifactsParams): Promise<StoredArtifacts> {
  const { runId, folders, places, before, secrets, succeeded, artifacts } = params;
  const warnings: string[] = [];
  const kept = await cleanedFiles(params, warnings);
  const inputs: Inputs = new Map();
  for (const path of kept) add(inputs, folders, path);
  await addLog(inputs, folders, places.logDir, secrets);
  if (places.installsPackages && succeeded) await addPackages(inputs, params);
  if (inputs.size === 0) return { count: 0, warnings };
  const manifest = join(places.targetDir, "manifest.json");
  const wroteManifest = changedFiles(before, listFiles([manifest])).length > 0;
  const { stream, index } = packStream(opened(inputs), { level: LEVEL });
  await artifacts.putPack({
    runId,
    name: TARGET_PACK,
    content: stream,
    index,
    manifestPath: wroteManifest ? (toWire(manifest, folders) ?? null) : null,
  });
  return { count: inputs.size, warnings };
}

/** The changed files without a secret in them; what can't be freed of one is removed, also from the workspace. */
async function cleanedFiles(params: ArtifactsParams, warnings: string[]): Promise<string[]> {
  const { folders, places, before, warehouse, secrets } = params;
  const never = new Set(warehouse.flatMap(warehousePaths));
  const logs = new Set(logFiles(places.logDir));
  const kept: string[] = [];
  for (const path of changedFiles(before, listFiles(watchedPaths(folders, places)))) {
    if (never.has(path) || logs.has(path)) continue;
    const isParseState = basename(path) === PARSE_STATE;
    const cleaned = await cleanFile(path, secrets);
    if (cleaned === "binary") {
      rmSync(path, { force: true });
      const name = toWire(path, folders) ?? path;
      warnings.push(
        isParseState
          ? "dbt's parse state held a secret value and was not kept: the next run parses the whole project."
          : `${name} held a secret value, is no text to mask it in, and was not kept.`,
      );
    } else if (!isParseState) kept.push(path);
  }
  return kept;
}

/** By path on the wire; each is opened when its turn has come, since all at once could be too much. */
type Inputs = Map<string, () => PackInput>;

function* opened(inputs: Inputs): Generator<PackInput> {
  for (const path of [...inputs.keys()].sort()) {
    const open = inputs.get(path);
    if (open !== undefined) yield open();
  }
}

function add(inputs: Inputs, folders: RunFolders, path: string): void {
  const wire = toWire(path, folders);
  if (wire === undefined || !isInside(wire)) return;
  inputs.set(wire, () => {
    const { size, mode, mtimeMs } = statSync(path);
    const content = size <= SMALL_FILE_BYTES ? readFileSync(path) : read([path]);
    return { path: wire, mode: (mode & 0o100) === 0 ? "100644" : "100755", size, mtimeMs, content };
  });
}

async function* read(paths: readonly string[]): AsyncGenerator<Buffer> {
  for (const path of paths) yield* createReadStream(path, { highWaterMark: SMALL_FILE_BYTES }) as AsyncIterable<Buffer>;
}

/** One dbt.log, whole, also where dbt has begun a new one in between. */
async function addLog(inputs: Inputs, folders: RunFolders, logDir: string, secrets: readonly string[]): Promise<void> {
  const wire = toWire(join(logDir, "dbt.log"), folders);
  const files = logFiles(logDir);
  if (wire === undefined || files.length === 0) return;
  for (const file of files) await cleanFile(file, secrets);
  const size = files.reduce((sum, file) => sum + statSync(file).size, 0);
  inputs.set(wire, () => ({ path: wire, mode: "100644", size, mtimeMs: Date.now(), content: read(files) }));
}

/** All of the packages folder: the client replaces its own as a whole. */
async function addPackages(inputs: Inputs, params: ArtifactsParams): Promise<void> {
  const { places, secrets } = params;
  const isInProject = places.packagesDir.startsWith(`${params.folders.project}/`);
  const folders = isInProject ? params.folders : { ...params.folders, packages: places.packagesDir };
  const visit = async (path: string): Promise<void> => {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return;
    if (stats.isSymbolicLink()) addLink(inputs, folders, path);
    else if (stats.isDirectory()) for (const name of readdirSync(path)) await visit(join(path, name));
    else if (stats.isFile() && (await cleanFile(path, secrets)) !== "binary") add(inputs, folders, path);
  };
  await visit(places.packagesDir);
}

/** dbt links a local package by its absolute path, which means nothing elsewhere; no link in a pack may lead out of it. */
function addLink(inputs: Inputs, folders: RunFolders, path: string): void {
  const wire = toWire(path, folders);
  const target = resolve(dirname(path), readlinkSync(path));
  if (wire === undefined || !target.startsWith(`${folders.project}/`)) return;
  const content = Buffer.from(relative(dirname(path), target));
  inputs.set(wire, () => ({ path: wire, mode: "120000", size: content.length, content }));
}
