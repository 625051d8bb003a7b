/** One run from claim to end. Whatever happens on the way, the run comes to a terminal status and its log to an end. */
import { AppError } from "../core/errors.ts";
import type { Run } from "../core/run.ts";
import { createScrubber } from "../core/scrub.ts";
import type { DbtEngine } from "../dbt/port.ts";
import type { LogSeal, State } from "../state/port.ts";
import type { RunPatch } from "../state/runs.ts";
import type { Stores } from "../state/stores.ts";
import { claimRun } from "./claim.ts";
import { explain } from "./explain.ts";
import { startHeart } from "./heart.ts";
import { createJobLog, type JobLog } from "./job-log.ts";
import type { Outcome } from "./outcome.ts";
import { type Logs, performRun } from "./perform-run.ts";
import { envelopeExpired, prepareRun, type RunPreparation } from "./prepare-run.ts";
import type { JobSettings } from "./settings.ts";
import { type StopSwitch, stopOnFailure, watchForStop } from "./stopping.ts";

/** What the job drives dbt with. */
export interface JobEngine extends Pick<DbtEngine, "start"> {
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
}

/** `not-ours`: the run was another job's, or had ended. */
export type JobResult =
  | { readonly kind: "done"; readonly outcome: Outcome }
  | { readonly kind: "not-ours"; readonly why: string };

/** The last line of every log. */
export const LAST_LINE = "END JOB";

export async function executeRun(context: JobContext): Promise<JobResult> {
  const { settings, stores, stop, now } = context;
  const { runId, root } = settings;
  const claim = await claimRun({ runId, root, ...stores });
  if (!claim.claimed) return { kind: "not-ours", why: claim.why };
  const { run, lease } = claim;
  const heart = startHeart({
    ...{ runId, lease, ...stores },
    onLost: () => stopOnFailure(stop, "The workspace was given to another run, because this one's lease had expired."),
  });
  const unwatch = watchForStop({
    ...{ runId, stop, ...stores, now },
    cancelOnDisconnectMs: run.options.cancelOnDisconnectMs,
  });
  try {
    return { kind: "done", outcome: await workAndFinish(context, run) };
  } finally {
    unwatch();
    await heart.stop();
    await stores.leases.release(lease);
  }
}

async function workAndFinish(context: JobContext, run: Run): Promise<Outcome> {
  let logs: Logs | undefined;
  let preparation: RunPreparation | undefined;
  let outcome: Outcome;
  try {
    const prepared = await prepareRun(context, run);
    preparation = prepared;
    logs = await openLogs(context, prepared?.environment.secrets ?? []);
    outcome = prepared === undefined ? envelopeExpired(run) : await performRun(context, run, prepared, logs);
  } catch (error) {
    outcome = jobFailed(error);
    // Reported here, in the job's own output, too: the log may be what failed.
    console.error(explain(error));
  }
  preparation?.tidy();
  if (outcome.reason === "job_failed" || outcome.reason === "envelope_expired") {
    logs ??= await openLogs(context, []).catch(() => undefined);
    if (outcome.message !== null) logs?.log.say(outcome.message);
  }
  const { scrubText } = createScrubber(preparation?.environment.secrets ?? []);
  outcome = { ...outcome, message: outcome.message === null ? null : scrubText(outcome.message) };
  await finish(context, outcome, logs);
  return outcome;
}

async function openLogs({ state, settings, stop, now }: JobContext, secrets: readonly string[]): Promise<Logs> {
  const { runId } = settings;
  const [log, events] = await Promise.all([
    state.logs.openWriter(runId, "log"),
    state.logs.openWriter(runId, "events"),
  ]);
  const onFailure = (failure: AppError): void =>
    stopOnFailure(stop, `The log could not be written: ${failure.message}`);
  return {
    log: createJobLog({ writer: log, secrets, now, onFailure }),
    events: createJobLog({ writer: events, secrets, now, onFailure: (failure) => console.error(explain(failure)) }),
  };
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
  await insist(async () => void (await stores.runs.transition(runId, status, patch)));
}

async function sealOrNot(log: JobLog | undefined): Promise<LogSeal | undefined> {
  try {
    return await log?.seal();
  } catch (error) {
    console.error(explain(error));
    return undefined;
  }
}

const INSIST_MS = 30_000;

/** State may be out of reach for a moment; a status that is never written would make the run a lost one. */
async function insist(action: () => Promise<void>): Promise<void> {
  const giveUpAtMs = performance.now() + INSIST_MS;
  for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 2_000)) {
    try {
      await action();
      return;
    } catch (error) {
      if (performance.now() >= giveUpAtMs || (error instanceof AppError && error.code === "run_not_found")) throw error;
      await new Promise((resume) => setTimeout(resume, pauseMs));
    }
  }
}
