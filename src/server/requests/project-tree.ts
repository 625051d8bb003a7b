/** The project that a request names or brings: its snapshot is stored and complete before the run is made. */
import { posix } from "node:path";
import type { RunRequest } from "../../api/schemas/runs.ts";
import { AppError } from "../../core/errors.ts";
import { isInside } from "../../core/placeholders.ts";
import type { RunInput, RunMode } from "../../core/run.ts";
import { checkLinkTarget } from "../../snapshot/entry-rules.ts";
import type { IncomingContent, State } from "../../state/port.ts";
import { readAll } from "../../state/read-all.ts";
import type { SnapshotStore, StoredEntry } from "../../state/snapshots.ts";
import { readInlineFiles } from "./inline-files.ts";

export interface ProjectTree {
  readonly snapshotId: string;
  readonly mode: RunMode;
  /** `.` or a `/`-separated path. */
  readonly projectDir: string;
  /** Text of dbt_project.yml; null where the snapshot has none. */
  readonly project: string | null;
  /** Text of a profiles.yml that came among the files. */
  readonly profiles: string | null;
}

interface Params {
  readonly request: Pick<RunRequest, "snapshotId" | "files" | "projectDir" | "mode" | "inputs">;
  readonly contents: State["contents"];
  readonly snapshots: SnapshotStore;
}

/** A dbt_project.yml beyond this is none. */
const MAX_PROJECT_BYTES = 4 * 1024 * 1024;
const MAX_REPORTED_HASHES = 10_000;

export async function readProjectTree({ request, contents, snapshots }: Params): Promise<ProjectTree> {
  const projectDir = readProjectDir(request.projectDir);
  const inputs = readInputs(request.inputs ?? []);
  if (request.files !== undefined && request.snapshotId !== undefined) {
    throw new AppError("bad_request", `A run has either "snapshotId" or "files", not both.`);
  }
  let mode = request.mode ?? "project";
  let profiles: string | null = null;
  let snapshotId = request.snapshotId;
  if (request.files !== undefined) {
    const inline = readInlineFiles(request.files);
    await contents.putMany(filesOf(inline.contents));
    await snapshots.put(inline.snapshotId, inline.entries);
    ({ snapshotId, profiles } = inline);
    mode = request.mode ?? inline.mode;
  }
  if (snapshotId === undefined) {
    throw new AppError("bad_request", "The request has no project.", {
      hint: `Send "files" (base64), or the "snapshotId" of a snapshot that was sent before`,
    });
  }
  // Says that it is needed before looking, so that a sweep under way spares it.
  await snapshots.use(snapshotId);
  const entries = await snapshots.load(snapshotId);
  // A snapshot in use keeps its contents; what only this run names has nothing else to keep it until the run is made.
  await contents.touch(inputs.map(({ sha256 }) => sha256));
  const missing = await contents.missing([...new Set([...entries, ...inputs].map(({ sha256 }) => sha256))]);
  if (missing.length > 0) {
    throw new AppError("blobs_missing", `${missing.length} contents of the project are not on the server.`, {
      hint: "Send them, then repeat the request",
      details: { missing: missing.slice(0, MAX_REPORTED_HASHES) },
    });
  }
  await checkLinks(entries, contents);
  return { snapshotId, mode, projectDir, project: await readProject(entries, projectDir, contents), profiles };
}

async function* filesOf(contents: ReadonlyMap<string, Buffer>): AsyncGenerator<IncomingContent> {
  for (const [sha256, content] of contents) yield { sha256, size: content.length, content };
}

function readProjectDir(given: string | undefined): string {
  const path = posix.normalize(given === undefined || given === "" ? "." : given).replace(/\/$/, "");
  if (path === "." || (isInside(path) && !path.startsWith("@"))) return path;
  throw new AppError("path_outside", `projectDir ${JSON.stringify(given)} lies outside of the snapshot.`);
}

function readInputs(inputs: readonly RunInput[]): readonly RunInput[] {
  for (const { path } of inputs) {
    if (isInside(path)) continue;
    throw new AppError(
      "path_outside",
      `The input ${JSON.stringify(path.slice(0, 200))} lies outside of the workspace.`,
    );
  }
  return inputs;
}

/** Only now are the texts of links known. */
async function checkLinks(entries: readonly StoredEntry[], contents: State["contents"]): Promise<void> {
  for (const { path, mode, sha256 } of entries) {
    if (mode === "120000") checkLinkTarget(path, (await readContent(contents, sha256)).toString("utf8"));
  }
}

async function readProject(
  entries: readonly StoredEntry[],
  projectDir: string,
  contents: State["contents"],
): Promise<string | null> {
  const path = projectDir === "." ? "dbt_project.yml" : `${projectDir}/dbt_project.yml`;
  const entry = entries.find((each) => each.path === path);
  if (entry === undefined || entry.size > MAX_PROJECT_BYTES || entry.mode === "120000") return null;
  return (await readContent(contents, entry.sha256)).toString("utf8");
}

async function readContent(contents: State["contents"], sha256: string): Promise<Buffer> {
  const stream = await contents.read(sha256);
  return stream === undefined ? Buffer.alloc(0) : readAll(stream);
}
