/**
 * Ends what nobody else can end: runs whose job is gone, launches that came to nothing, cancelled runs that never began.
 * A run whose job lives is only ever ended by force, after it was asked to end and given its time.
 */
import { open } from "node:fs/promises";
import { ENVELOPE_LIFETIME_MS } from "../core/envelope.ts";
import { AppError } from "../core/errors.ts";
import { isTerminal, type Run } from "../core/run.ts";
import type { Execution, ExecutionStatus, Executor } from "../executors/port.ts";
import type { Cancellation } from "../state/cancellations.ts";
import type { Stores } from "../state/stores.ts";
import type { Launches } from "./launches.ts";
import type { Ending, RunEndings } from "./run-endings.ts";
import { inTurns } from "./turns.ts";

/** How long a job may take for each thing, in ms. */
export interface Patience {
  /** From its launch until it claims its run. */
  readonly claimMs: number;
  /** From a request to cancel until dbt has ended: longer than the job itself gives dbt. */
  readonly cancelMs: number;
  /** From a request to cancel until the job has shipped what dbt left. */
  readonly shipMs: number;
  /** Beyond the run's own time limit, until dbt has ended. */
  readonly timeoutMs: number;
  /** Without a heartbeat, until an executor that has no exit code is believed. */
  readonly heartMs: number;
  /** From its launch until a job that has not begun, and whose end nobody saw, is given up where servers are several. */
  readonly unseenMs: number;
}

export const PATIENCE: Patience = {
  claimMs: 30_000,
  cancelMs: 60_000,
  shipMs: 600_000,
  timeoutMs: 60_000,
  heartMs: 6_000,
  unseenMs: 60_000,
};

export interface ReaperParams {
  readonly stores: Stores;
  readonly executor: Executor;
  readonly launches: Launches;
  readonly endings: RunEndings;
  /** Where a job's own output lies, which says why it could not begin. */
  readonly jobOutput: (runId: string) => string;
  /** Whether no other server can be alive. */
  readonly isAlone: boolean;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
  readonly patience?: Partial<Patience>;
}

/** Where a job is a container somewhere else: it takes long to start, and its heart beats slowly. */
export const CLOUD_PATIENCE: Patience = { ...PATIENCE, claimMs: 600_000, heartMs: 150_000 };

/** After either, what is pending and has no launch any more has to be dispatched. */
export interface Reaper {
  /** Looks at every run that has not ended; resolves when that is done. Never rejects. */
  reap(): Promise<void>;
  /** Looks at one run that had not ended. Never rejects. */
  look(run: Run): Promise<void>;
}

type Gone = Extract<ExecutionStatus, { state: "gone" }>;

export function createReaper(params: ReaperParams): Reaper {
  const { stores, executor, launches, endings, now, onError } = params;
  const { runs, cancellations, heartbeats, followers } = stores;
  const patience = { ...PATIENCE, ...params.patience };
  const startedAtMs = now();
  /** Runs that were killed for having taken too long. */
  const timedOut = new Set<string>();

  async function pass(): Promise<void> {
    const active = await runs.list({ statuses: ["pending", "running"] });
    for (let from = 0; from < active.length; from += AT_ONCE) {
      await Promise.all(active.slice(from, from + AT_ONCE).map(look));
    }
  }

  /** Another server may do the same at the same time: what it was faster with is no failure. */
  async function look(run: Run): Promise<void> {
    await (run.status === "pending" ? reapPending(run) : reapRunning(run)).catch((error: unknown) => {
      if (!(error instanceof AppError && error.code === "run_finished")) onError(error);
    });
  }

  async function reapPending(run: Run): Promise<void> {
    const cancellation = (await cancellations.get(run.id)) ?? (await cancelUnfollowed(run));
    if (cancellation !== undefined) {
      const launch = await launches.get(run.id);
      const moved = await endings.endPending(run, { status: "cancelled", message: cancelledBy(cancellation) });
      // Its container would be started for nothing.
      if (moved && launch?.kind === "cloud-run") await executor.kill(launch);
      return;
    }
    if (now() - Date.parse(run.createdAt) > ENVELOPE_LIFETIME_MS) {
      const message = "It waited for so long that its profile and environment are no longer kept. Run it again.";
      await endings.endPending(run, { status: "failed", reason: "envelope_expired", message });
      return;
    }
    const launch = await launches.get(run.id);
    if (launch === undefined) return;
    const status = await executor.status(launch);
    const ageMs = now() - launch.launchedAtMs;
    if (status.state === "gone") {
      // As a process of another server, of which this one knows nothing, it would be gone, too.
      if (!params.isAlone && isUnseen(status) && ageMs < patience.unseenMs) return;
      // It may have gone while it waited. Who asked for this look launches the run as any other, and that one counts.
      if (launch.wasAhead === true) return launches.forgetLetGo(run.id, launch);
      const said = (await lastLine(params.jobOutput(run.id))) || (status.reason ?? "");
      const message = `The job ended before it began the run${said === "" ? "" : `: ${said}`}`;
      await endings.endPending(run, { status: "failed", reason: "launch_failed", message });
    } else if (ageMs > patience.claimMs) {
      const waits = status.waitingFor === undefined ? "." : `: ${status.waitingFor}`;
      const message = `The job did not begin within ${patience.claimMs / 1000} s${waits}`;
      // First the run, so that the job finds nothing to claim should it begin now.
      if (await endings.endPending(run, { status: "failed", reason: "launch_failed", message })) {
        await executor.kill(launch);
      }
    }
  }

  /** A client that asked for it, and left while the run waited. */
  async function cancelUnfollowed(run: Run): Promise<Cancellation | undefined> {
    const limitMs = run.options.cancelOnDisconnectMs;
    if (limitMs === null) return undefined;
    const lastSeenAtMs = (await followers.lastSeenAtMs(run.id)) ?? 0;
    // Nobody could follow while there was no server.
    if (now() - Math.max(lastSeenAtMs, Date.parse(run.createdAt), startedAtMs) < limitMs) return undefined;
    return cancellations.request(run.id, "dbt-server", `nobody followed the run for ${Math.round(limitMs / 1000)} s`);
  }

  async function reapRunning(run: Run): Promise<void> {
    // What the job says of itself counts: a launch whose answer was lost may have been made twice.
    const launch: Execution | undefined =
      typeof run.execution === "string" ? { kind: "cloud-run", id: run.execution } : await launches.get(run.id);
    const status = launch === undefined ? UNKNOWN : await executor.status(launch);
    if (status.state === "gone") {
      if (await isHeartBeating(run, status)) return;
      // Read anew: the job may have written its end just before it went.
      const last = await runs.get(run.id);
      if (last !== undefined && !isTerminal(last.status)) await endings.endRunning(last, await endingOf(last, status));
    } else if (launch !== undefined && (await isOverdue(run))) {
      await executor.kill(launch);
    }
  }

  /** Where the executor knows how the job ended, there is no doubt; else the heart has to have stopped too. */
  async function isHeartBeating(run: Run, status: Gone): Promise<boolean> {
    if (!isUnseen(status)) return false;
    return (await silenceMs(run)) < patience.heartMs;
  }

  /** Since the last beat of the job's heart. */
  async function silenceMs(run: Run): Promise<number> {
    return now() - ((await heartbeats.get(run.id))?.atMs ?? Date.parse(run.startedAt ?? run.createdAt));
  }

  function isOverTime(run: Run): boolean {
    const { timeoutMs } = run.options;
    const overMs = now() - Date.parse(run.startedAt ?? run.createdAt) - (timeoutMs ?? Number.POSITIVE_INFINITY);
    return overMs > patience.timeoutMs;
  }

  async function isOverdue(run: Run): Promise<boolean> {
    // A job whose heart beats keeps to the limit itself, and knows better when dbt began.
    const isStuck = isOverTime(run) && (await silenceMs(run)) > patience.timeoutMs;
    if (run.dbtFinished === null && isStuck) {
      timedOut.add(run.id);
      return true;
    }
    const cancellation = await cancellations.get(run.id);
    if (cancellation === undefined) return false;
    return now() - Date.parse(cancellation.at) > (run.dbtFinished === null ? patience.cancelMs : patience.shipMs);
  }

  async function endingOf(run: Run, status: Gone): Promise<Ending> {
    const { exitCode, signal, reason, outOfMemory } = status;
    const why = reason === null ? "" : `: ${reason}`;
    const cancellation = await cancellations.get(run.id);
    if (cancellation !== undefined) return { status: "cancelled", message: cancelledBy(cancellation) };
    if (outOfMemory) {
      const message = `The job was ended because memory ran out${reason === null ? "." : why}`;
      return { status: "failed", reason: "out_of_memory", message };
    }
    // Another server may have told the executor to end it.
    if (timedOut.delete(run.id) || (status.cancelled === true && isOverTime(run))) {
      const message = `Stopped after ${(run.options.timeoutMs ?? 0) / 1000} s (--timeout).`;
      return { status: "failed", reason: "timed_out", message };
    }
    if (status.timedOut === true) {
      return { status: "failed", reason: "timed_out", message: `The executor's own time limit was reached${why}` };
    }
    if (signal !== null || exitCode !== null) {
      const how = signal === null ? `ended with exit code ${exitCode}` : `was killed (${signal})`;
      const message = `The job ${how} before the run had ended${reason === null ? "." : why}`;
      return { status: "failed", reason: "job_failed", message };
    }
    if (reason !== null) return { status: "failed", reason: "lost", message: `The job is gone${why}` };
    const message = "The job is gone, and nobody saw it end: the machine or the server went down.";
    return { status: "failed", reason: "lost", message };
  }

  return { reap: inTurns(() => pass().catch(onError)), look };
}

/** Each asks State and executor several things. */
const AT_ONCE = 8;

/** The executor has not seen it end. */
function isUnseen({ exitCode, signal, reason }: Gone): boolean {
  return exitCode === null && signal === null && reason === null;
}

const UNKNOWN: Gone = { state: "gone", exitCode: null, signal: null, reason: null, outOfMemory: false };

function cancelledBy({ by, reason }: Cancellation): string {
  return `Cancelled by ${by}${reason === null ? "" : `: ${reason}`}.`.replace(/\.\.$/, ".");
}

const TAIL_BYTES = 4096;

/** The last line that is not empty, as far as people can read it. */
async function lastLine(path: string): Promise<string> {
  try {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      const buffer = Buffer.alloc(Math.min(size, TAIL_BYTES));
      await file.read(buffer, 0, buffer.length, size - buffer.length);
      const lines = buffer
        .toString("utf8")
        .split("\n")
        .filter((line) => line.trim() !== "");
      return (lines.at(-1) ?? "")
        .replace(/[^\P{C}\t]/gu, "")
        .slice(0, 500)
        .trim();
    } finally {
      await file.close();
    }
  } catch {
    return "";
  }
}
