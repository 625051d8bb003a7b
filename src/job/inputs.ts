/** Puts the files in place that a run needs beside its project: state folders, results to retry. */
import { lstatSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import type { Readable } from "node:stream";
import { AppError } from "../core/errors.ts";
import type { Run, RunInput, RunStateSource } from "../core/run.ts";
import { putContent } from "../snapshot/put-content.ts";
import type { ArtifactStore } from "../state/artifacts.ts";
import type { ContentStore } from "../state/port.ts";
import { type RunFolders, toAbsolute } from "./adapt.ts";

/** What dbt reads of an earlier run. */
const STATE_FILES: ReadonlySet<string> = new Set(["manifest.json", "run_results.json", "sources.json", "catalog.json"]);

export interface InputsParams {
  readonly run: Pick<Run, "inputs" | "stateSources">;
  readonly folders: RunFolders;
  readonly contents: ContentStore;
  readonly artifacts: ArtifactStore;
}

/** Places every input, verified. A state folder holds afterwards what was sent of it and no older artifact. */
export async function placeInputs({ run, folders, contents, artifacts }: InputsParams): Promise<void> {
  removeOlder(run.inputs, folders);
  for (const { path, sha256, size } of run.inputs) {
    const target = toAbsolute(path, folders);
    await placeFile({ target, folders, sha256, size, read: () => required(contents.read(sha256), path) });
  }
  for (const source of run.stateSources) await placeState(source, folders, artifacts);
}

/** A state folder sent without its former run_results.json must not be read with it. */
function removeOlder(inputs: readonly RunInput[], folders: RunFolders): void {
  const sent = new Set(inputs.map(({ path }) => toAbsolute(path, folders)));
  const stateFolders = inputs
    .filter(({ path }) => path.endsWith("/manifest.json"))
    .map(({ path }) => posix.dirname(path));
  for (const folder of stateFolders) {
    for (const name of STATE_FILES) {
      const file = join(toAbsolute(folder, folders), name);
      if (!sent.has(file)) rmSync(file, { force: true });
    }
  }
}

/** The artifacts of the earlier run's target folder; without any, dbt says itself that there is no such state. */
async function placeState(
  { path, runId }: RunStateSource,
  folders: RunFolders,
  artifacts: ArtifactStore,
): Promise<void> {
  const folder = toAbsolute(path, folders);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const [all, record] = await Promise.all([artifacts.list(runId), artifacts.get(runId)]);
  const known = record?.manifestPath ?? all.find((each) => posix.basename(each.path) === "run_results.json")?.path;
  if (known === undefined) return;
  const target = posix.dirname(known);
  for (const { path: from, sha256, size } of all) {
    const name = posix.basename(from);
    if (posix.dirname(from) !== target || !STATE_FILES.has(name)) continue;
    const read = async (): Promise<Readable> => (await artifacts.open(runId, from)).content;
    await placeFile({ target: join(folder, name), folders, sha256, size, read });
  }
}

interface FileParams {
  readonly target: string;
  readonly folders: RunFolders;
  readonly sha256: string;
  readonly size: number;
  readonly read: () => Promise<Readable>;
}

async function placeFile({ target, folders, sha256, size, read }: FileParams): Promise<void> {
  makeTrueFolder(dirname(target), folders);
  rmSync(target, { recursive: true, force: true });
  await putContent(target, { path: target, mode: "100644", sha256, size }, { read }, Date.now());
}

/** Makes the folders below the run's own; a link among them could lead anywhere and is refused. */
function makeTrueFolder(folder: string, folders: RunFolders): void {
  const own = [folders.project, folders.outside].find((each) => folder === each || folder.startsWith(`${each}/`));
  if (own === undefined) throw new AppError("path_outside", `${folder} lies outside of the run's folders.`);
  let at = own;
  for (const name of folder.slice(own.length).split("/").filter(Boolean)) {
    at = join(at, name);
    const stats = lstatSync(at, { throwIfNoEntry: false });
    if (stats?.isSymbolicLink())
      throw new AppError("path_outside", `${at} is a link; a run's files are not put behind one.`);
  }
  mkdirSync(folder, { recursive: true });
}

async function required(content: Promise<Readable | undefined>, path: string): Promise<Readable> {
  const found = await content;
  if (found !== undefined) return found;
  throw new AppError("blobs_missing", `The content of ${path} is not in State.`, {
    hint: "Run the same command again.",
  });
}
