/** The run itself: its files put in place, dbt, and what dbt made put into State. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { isAbsolute, join, posix, resolve } from "node:path";
import type { Readable } from "node:stream";
import { parseDbtArgv } from "../core/dbt-argv.ts";
import { AppError } from "../core/errors.ts";
import { renderEnvVar } from "../core/jinja-env-var.ts";
import type { DbtFinished, Run } from "../core/run.ts";
import { createScrubber } from "../core/scrub.ts";
import type { SnapshotEntry } from "../snapshot/entry.ts";
import { type ContentSource, putContent } from "../snapshot/put-content.ts";
import { bringTo } from "../snapshot/restore.ts";
import type { ContentStore } from "../state/port.ts";
import type { RunPatch } from "../state/runs.ts";
import { adaptArgs } from "./adapt.ts";
import { storeArtifacts, watchedPaths } from "./artifacts.ts";
import { parseCloudSettings } from "./cloud-settings.ts";
import type { JobContext } from "./execute-run.ts";
import { explain } from "./explain.ts";
import { placeInputs } from "./inputs.ts";
import { insist } from "./insist.ts";
import type { JobLog } from "./job-log.ts";
import { type Listing, listFiles } from "./listing.ts";
import { exitCodeOf, type Outcome, outcomeOf, stoppedOutcome } from "./outcome.ts";
import { bringPackages, noteInstalled, removeClones } from "./packages.ts";
import { makeParseState, type OutputPlaces, outputPlaces, removeLogs } from "./places.ts";
import type { RunPreparation } from "./prepare-run.ts";
import { type DbtRunEnding, runDbt } from "./run-dbt.ts";
import { type StopRequest, stopOnTimeout } from "./stopping.ts";
import type { Workspace } from "./workspace.ts";

export interface Logs {
  readonly log: JobLog;
  readonly events: JobLog;
}

/** Everything about this run that its steps need. */
interface Performance extends JobContext, Logs {
  readonly run: Run;
  readonly preparation: RunPreparation;
  readonly workspace: Workspace;
  readonly entries: readonly SnapshotEntry[];
  readonly args: readonly string[];
  readonly places: OutputPlaces;
  readonly warehouse: readonly string[];
}

/** Throws what keeps the job from running dbt; how dbt itself ended is the outcome. */
export async function performRun(
  context: JobContext,
  run: Run,
  preparation: RunPreparation,
  logs: Logs,
): Promise<Outcome> {
  const { stop, state, stores } = context;
  const { workspace, environment } = preparation;
  const { env } = environment;
  const entries = await preparation.entries;
  const warehouse = environment.warehouseFiles.map((file) => resolve(workspace.project, file));
  await restore(context, run, preparation, entries);
  await placeInputs({ run, folders: workspace, contents: state.contents, artifacts: stores.artifacts });
  const args = adaptArgs(preparation.args, workspace);
  const places = outputPlaces({ project: workspace.project, args, env });
  const parseState = { tree: workspace.tree, entries, targetDir: places.targetDir };
  await preparation.cache?.parseState.place(parseState);
  makeParseState({ project: workspace.project, args, env }, places.targetDir);
  const performance = { ...context, ...logs, run, preparation, workspace, entries, args, places, warehouse };
  sayWarehouse(performance);
  if (stop.request !== undefined) return notStarted(stop.request, logs);
  const parsed = parseDbtArgv(args);
  const { packagesDir } = places;
  const packages = preparation.cache?.packages(packagesDir);
  await bringPackages({ ...performance, packagesDir, parsed, env, cache: packages });
  if (stop.request !== undefined) return notStarted(stop.request, logs);
  return driveDbt(performance);
}

function notStarted(request: StopRequest, { log }: Logs): Outcome {
  log.say(`${request.message} dbt was not started.`);
  return stoppedOutcome(request, null);
}

async function restore(
  { state }: JobContext,
  run: Run,
  { workspace, environment }: RunPreparation,
  entries: readonly SnapshotEntry[],
): Promise<void> {
  const inTree = environment.warehouseFiles
    .filter((file) => !isAbsolute(file))
    .map((file) => posix.join(run.projectDir, file))
    .filter((path) => !path.startsWith(".."));
  await bringTo({
    root: workspace.tree,
    indexFile: workspace.indexFile,
    next: entries,
    source: (sha256) => sourceOf(state.contents, sha256),
    protect: inTree,
  });
  mkdirSync(workspace.project, { recursive: true });
}

function sourceOf(contents: ContentStore, sha256: string): ContentSource {
  const path = contents.localPath(sha256);
  const read = async (): Promise<Readable> => {
    const content = await contents.read(sha256);
    if (content !== undefined) return content;
    throw new AppError("blobs_missing", `The content ${sha256} of the snapshot is not in State.`, {
      hint: "Run the same command again.",
    });
  };
  return path === undefined ? { read } : { path, read };
}

/** Commands that open no warehouse. */
const WITHOUT_WAREHOUSE: ReadonlySet<string> = new Set(["", "deps", "clean"]);

/** A relative path in a profile means a file here, which is not the user's own: said once, so that nobody looks for it there. */
function sayWarehouse({ run, workspace, preparation, log }: Performance): void {
  if (run.warehouseFile === null || WITHOUT_WAREHOUSE.has(run.verb)) return;
  const file = renderEnvVar(run.warehouseFile, preparation.environment.env) ?? run.warehouseFile;
  const absolute = resolve(workspace.project, file);
  if (isAbsolute(file) || isTold(workspace.toldFile, absolute)) return;
  log.say(`the profile's ${file} is the file ${absolute}`);
  writeFileSync(workspace.toldFile, absolute);
}

function isTold(toldFile: string, absolute: string): boolean {
  try {
    return readFileSync(toldFile, "utf8") === absolute;
  } catch {
    return false;
  }
}

async function driveDbt(performance: Performance): Promise<Outcome> {
  const { run, workspace, preparation, args, places, engine, log, events, stop } = performance;
  const { env } = preparation.environment;
  const manifestPath = run.mode === "manifest" ? await placeManifest(performance) : undefined;
  removeLogs(places.logDir);
  const before = listFiles(watchedPaths(workspace, places));
  const { timeoutMs } = run.options;
  const timer = timeoutMs === null ? undefined : setTimeout(() => stopOnTimeout(stop, timeoutMs), timeoutMs);
  stop.onPressed(({ message }) => log.say(`${message} Interrupting dbt.`));
  let ending: DbtRunEnding;
  try {
    const debugEvents = parseCloudSettings(performance.env).logsDebug;
    const more = { ...(manifestPath !== undefined && { manifestPath }), ...(debugEvents && { debugEvents }) };
    const invocation = { args, cwd: workspace.project, env, ...more };
    ending = await runDbt({ engine, invocation, log, events, stop });
  } catch (error) {
    await log.flush();
    await keep(performance, before, false);
    throw error;
  } finally {
    clearTimeout(timer);
  }
  await Promise.all([log.flush(), events.flush()]);
  const dbtOffset = log.offset;
  const outcome = await judge(performance, ending);
  if (places.installsPackages) {
    removeClones(places.packagesDir);
    if (outcome.status === "success") noteInstalled(workspace, performance.entries);
  }
  const kept = await keep(performance, before, outcome.status === "success");
  const dbtFinished: DbtFinished = {
    exitCode: exitCodeOf(ending.exit),
    dbtOffset,
    targetPack: kept.count > 0,
    ...(ending.stop !== undefined && { stopped: true }),
    at: new Date(performance.now()).toISOString(),
  };
  await note(performance, { dbtVersion: ending.dbtVersion ?? null, dbtFinished }, kept.warnings);
  if (ending.stop === undefined && ending.exit.code !== null) await keepParseState(performance);
  await doRest(performance, outcome, ending.invocationId);
  return outcome;
}

/** For the next run, which does without where that fails. */
async function keepParseState({ preparation, workspace, entries, places }: Performance): Promise<void> {
  const { targetDir } = places;
  try {
    await preparation.cache?.parseState.keep({ tree: workspace.tree, entries, targetDir });
  } catch (error) {
    console.error(`dbt's parse state was not kept: ${explain(error)}`);
  }
}

/** dbt has done its work: what is not noted any more must not turn it into a failure of the job. */
async function note({ run, stores, log }: Performance, patch: RunPatch, more: readonly string[]): Promise<void> {
  try {
    await insist(async () => {
      await stores.runs.patch(run.id, ({ warnings }) => ({ ...patch, warnings: [...warnings, ...more] }));
    });
  } catch (error) {
    log.say(`warning: the run's record could not be written: ${explain(error)}`);
  }
}

async function doRest(performance: Performance, outcome: Outcome, invocationId: string | undefined): Promise<void> {
  const { run, workspace, preparation, args, places, log, afterDbt } = performance;
  const { env, secrets } = preparation.environment;
  try {
    await afterDbt?.({
      ...{ run, project: workspace.project, folders: workspace, targetDir: places.targetDir },
      ...{ scratch: workspace.ownProfiles, args, env, secrets, invocationId, outcome },
      say: (text) => log.say(text),
    });
  } catch (error) {
    const warning = createScrubber(secrets).scrubText(explain(error));
    log.say(`warning: ${warning}`);
    await note(performance, {}, [warning]);
  }
}

/** A dbt that isn't there looks like one that failed, until it is asked for its version. */
async function judge({ engine }: Performance, ending: DbtRunEnding): Promise<Outcome> {
  const outcome = outcomeOf(ending);
  if (outcome.reason !== "dbt_failed" || ending.sawEvents || ending.exit.code !== 1) return outcome;
  try {
    await engine.version();
    return outcome;
  } catch (error) {
    return { ...outcome, reason: "job_failed", message: explain(error) };
  }
}

interface Kept {
  readonly count: number;
  readonly warnings: readonly string[];
}

/** What dbt made goes into State whatever became of dbt; a failure to do so is a warning, never another exit code. */
async function keep(performance: Performance, before: Listing, succeeded: boolean): Promise<Kept> {
  const { run, workspace, places, warehouse, preparation, stores, log } = performance;
  const { secrets } = preparation.environment;
  let kept: Kept;
  try {
    kept = await storeArtifacts({
      ...{ runId: run.id, folders: workspace, places, before, warehouse, secrets, succeeded },
      artifacts: stores.artifacts,
    });
  } catch (error) {
    kept = { count: 0, warnings: [`The artifacts could not be stored: ${explain(error)}`] };
  }
  const { scrubText } = createScrubber(secrets);
  const warnings = kept.warnings.map(scrubText);
  for (const warning of warnings) log.say(`warning: ${warning}`);
  return { count: kept.count, warnings };
}

/** A copy apart from `target/`, where dbt writes a manifest of its own. */
async function placeManifest({ run, workspace, entries, state }: Performance): Promise<string> {
  const path = posix.join(run.projectDir, "target/manifest.json");
  const entry = entries.find((each) => each.path === path);
  if (entry === undefined) {
    throw new AppError("bad_project", "A run without its project needs target/manifest.json, which was not sent.", {
      hint: "Make one with: dbt parse",
    });
  }
  const file = join(workspace.base, "manifest.json");
  rmSync(file, { force: true });
  await putContent(file, { ...entry, mode: "100644" }, sourceOf(state.contents, entry.sha256), Date.now());
  return file;
}
