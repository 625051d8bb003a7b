/** One run from claim to end. Whatever happens on the way, the run comes to a terminal status and its log to an end. */
import type { AppError } from "../core/errors.ts";
import type { Run } from "../core/run.ts";
import { createScrubber } from "../core/scrub.ts";
import type { DbtEngine } from "../dbt/port.ts";
import type { LogSeal, State } from "../state/port.ts";
import type { RunPatch } from "../state/runs.ts";
import type { Stores } from "../state/stores.ts";
import type { RunFolders } from "./adapt.ts";
import { type Awaited, awaitRun } from "./await-run.ts";
import { claimRun } from "./claim.ts";
import { createCloudLog } from "./cloud-log.ts";
import { parseCloudSettings } from "./cloud-settings.ts";
import { explain } from "./explain.ts";
import { startHeart } from "./heart.ts";
import { insist } from "./insist.ts";
import { createJobLog, type JobLog } from "./job-log.ts";
import type { Outcome } from "./outcome.ts";
import { GCP_PACE, LOCAL_PACE } from "./pace.ts";
import { type Logs, performRun } from "./perform-run.ts";
import { envelopeExpired, prepareRun, type RunPreparation } from "./prepare-run.ts";
import type { JobSettings } from "./settings.ts";
import { type StopSwitch, stopBeforeTaskTimeout, stopOnFailure, watchForStop } from "./stopping.ts";

/** What the job drives dbt with. */
export interface JobEngine extends Pick<DbtEngine, "announce" | "start"> {
  /** dbt's version; throws `dbt_not_found` with the reason where there is no dbt. */
  version(): Promise<string>;
}

export interface JobContext {
  readonly settings: JobSettings;
  /** The job's own environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly state: State;
  readonly stores: Stores;
  readonly engine: JobEngine;
  readonly stop: StopSwitch;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Takes a line for Google Cloud's log, with its end. Default: stdout. */
  readonly print?: (line: string) => void;
  /** The text of a secret of Secret Manager. */
  readonly readSecret?: (name: string) => Promise<string>;
  /** What comes behind dbt's own work, such as a report; a failure of it is a warning on the run. */
  readonly afterDbt?: (finished: AfterDbt) => Promise<void>;
}

export interface AfterDbt {
  readonly run: Run;
  /** Absolute; dbt's folder. */
  readonly project: string;
  readonly folders: RunFolders;
  /** Absolute; where dbt has put its artifacts. */
  readonly targetDir: string;
  /** A folder of the run's own, which is emptied when the run has ended. */
  readonly scratch: string;
  /** dbt's argv. */
  readonly args: readonly string[];
  /** dbt's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
  /** dbt's id for what it did; undefined where it did not come to tell one. */
  readonly invocationId: string | undefined;
  readonly outcome: Outcome;
  /** A line of the job's own. */
  readonly say: (text: string) => void;
}

/** `not-ours`: the run was another job's, or had ended. */
export type JobResult =
  | { readonly kind: "done"; readonly outcome: Outcome }
  | { readonly kind: "not-ours"; readonly why: string };

/** The last line of every log. */
export const LAST_LINE = "END JOB";

export async function executeRun(context: JobContext): Promise<JobResult> {
  const { settings, stores, stop, now } = context;
  const { runId, root, execution, taskTimeoutMs } = settings;
  const pace = settings.google === undefined ? LOCAL_PACE : GCP_PACE;
  const awaited = settings.google === undefined ? undefined : awaitRunOf(context);
  const claim = await claimRun({ runId, root, execution, leaseTtlMs: pace.leaseTtlMs, ...stores, awaited });
  if (!claim.claimed) return { kind: "not-ours", why: claim.why };
  const { run, lease } = claim;
  const heart = startHeart({
    ...{ runId, lease, pace, ...stores },
    onLost: () => stopOnFailure(stop, "The workspace was given to another run, because this one's lease had expired."),
  });
  const unwatch = watchForStop({
    ...{ runId, stop, ...stores, now, pace },
    cancelOnDisconnectMs: run.options.cancelOnDisconnectMs,
  });
  // The container has run for as long as this program.
  const unlimit =
    taskTimeoutMs === undefined ? () => undefined : stopBeforeTaskTimeout(stop, taskTimeoutMs, process.uptime() * 1000);
  try {
    return { kind: "done", outcome: await workAndFinish(context, run) };
  } finally {
    unwatch();
    unlimit();
    await heart.stop();
    await stores.leases.release(lease);
  }
}

function awaitRunOf({ settings, state, stop }: JobContext): Promise<Awaited> {
  const { runId, aheadWaitMs } = settings;
  return awaitRun({
    ...{ runId, records: state.records, stop, askEveryMs: GCP_PACE.followersEveryMs },
    say: (text) => console.error(`dbt-job ${runId} ${text}`),
    waitMs: Math.max(0, aheadWaitMs - process.uptime() * 1000),
  });
}

/** dbt itself says why it failed, and a stop was said when it began. */
const SAID_AT_THE_END: ReadonlySet<string> = new Set(["job_failed", "envelope_expired", "dbt_killed", "out_of_memory"]);

async function workAndFinish(context: JobContext, run: Run): Promise<Outcome> {
  let logs: Logs | undefined;
  let preparation: RunPreparation | undefined;
  let outcome: Outcome;
  try {
    const prepared = await prepareRun(context, run);
    preparation = prepared;
    logs = await openLogs(context, run, prepared?.environment.secrets ?? []);
    outcome = prepared === undefined ? envelopeExpired(run) : await performRun(context, run, prepared, logs);
  } catch (error) {
    outcome = jobFailed(error);
    // Reported here, in the job's own output, too: the log may be what failed.
    console.error(explain(error));
  }
  preparation?.tidy();
  logs ??= await openLogs(context, run, []).catch(() => undefined);
  if (outcome.message !== null && SAID_AT_THE_END.has(outcome.reason ?? "")) logs?.log.say(outcome.message);
  const { scrubText } = createScrubber(preparation?.environment.secrets ?? []);
  outcome = { ...outcome, message: outcome.message === null ? null : scrubText(outcome.message) };
  await finish(context, outcome, logs);
  return outcome;
}

async function openLogs(context: JobContext, run: Run, secrets: readonly string[]): Promise<Logs> {
  const { state, stop, now, env } = context;
  const runId = run.id;
  const [log, events] = await Promise.all([
    state.logs.openWriter(runId, "log"),
    state.logs.openWriter(runId, "events"),
  ]);
  const onFailure = (failure: AppError): void =>
    stopOnFailure(stop, `The log could not be written: ${failure.message}`);
  const logs: Logs = {
    log: createJobLog({ writer: log, secrets, now, onFailure }),
    events: createJobLog({ writer: events, secrets, now, onFailure: (failure) => console.error(explain(failure)) }),
  };
  const cloud = parseCloudSettings(env);
  if (!cloud.logsJson) return logs;
  const { print = (line: string): void => void process.stdout.write(line) } = context;
  return createCloudLog({ run, secrets, print, projectId: cloud.projectId, debug: cloud.logsDebug }).tap(logs);
}

function jobFailed(error: unknown): Outcome {
  return { status: "failed", reason: "job_failed", message: explain(error), exitCode: null };
}

/** The last line, the end of log and events, and then, as the very last, the status. */
async function finish({ stores, settings }: JobContext, outcome: Outcome, logs: Logs | undefined): Promise<void> {
  const { runId } = settings;
  logs?.log.say(LAST_LINE);
  const [seal] = await Promise.all([sealOrNot(logs?.log), sealOrNot(logs?.events)]);
  const { status, reason, message, exitCode } = outcome;
  const patch: RunPatch = {
    ...{ reason, message, exitCode },
    logSize: seal?.finalOffset ?? logs?.log.offset ?? 0,
    logSha256: seal?.sha256 ?? null,
  };
  const { insistMs } = settings.google === undefined ? LOCAL_PACE : GCP_PACE;
  await insist(async () => void (await stores.runs.transition(runId, status, patch)), insistMs);
}

async function sealOrNot(log: JobLog | undefined): Promise<LogSeal | undefined> {
  try {
    return await log?.seal();
  } catch (error) {
    console.error(explain(error));
    return undefined;
  }
}
