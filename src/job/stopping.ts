/** Who may want dbt stopped, and the one switch they all press. The first to press it says why. */
import type { CancellationStore } from "../state/cancellations.ts";
import type { FollowerStore } from "../state/followers.ts";
import { LOCAL_PACE, type Pace } from "./pace.ts";

export interface StopRequest {
  /** `failed`: the job itself can't go on, such as when its log can't be written. */
  readonly kind: "cancelled" | "timed_out" | "failed";
  /** A sentence for people. */
  readonly message: string;
  /** How long dbt has after SIGINT, and after SIGTERM. */
  readonly graceMs: number;
  readonly termMs: number;
}

/** Long enough for dbt to cancel its queries and write run_results.json. */
const USUAL_GRACE = { graceMs: 10_000, termMs: 5_000 } as const;
/** Who sends SIGTERM (Cloud Run, a machine going down) kills some ten seconds later; the upload has to fit in, too. */
const SHORT_GRACE = { graceMs: 4_000, termMs: 1_000 } as const;

export interface StopSwitch {
  readonly request: StopRequest | undefined;
  press(request: StopRequest): void;
  /** Calls back once, at once where it was pressed already. */
  onPressed(callback: (request: StopRequest) => void): void;
}

export function createStopSwitch(): StopSwitch {
  let pressed: StopRequest | undefined;
  const callbacks: ((request: StopRequest) => void)[] = [];
  return {
    get request() {
      return pressed;
    },
    press(request) {
      if (pressed !== undefined) return;
      pressed = request;
      for (const callback of callbacks) callback(request);
    },
    onPressed(callback) {
      if (pressed === undefined) callbacks.push(callback);
      else callback(pressed);
    },
  };
}

/** A signal to the job's own process counts as a cancellation in a hurry. */
export function stopOnSignal(stop: StopSwitch, signal: string): void {
  stop.press({ kind: "cancelled", message: `The job was told to end (${signal}).`, ...SHORT_GRACE });
}

export function stopOnFailure(stop: StopSwitch, message: string): void {
  stop.press({ kind: "failed", message, ...SHORT_GRACE });
}

export function stopOnTimeout(stop: StopSwitch, timeoutMs: number): void {
  stop.press({ kind: "timed_out", message: `Stopped after ${seconds(timeoutMs)} (--timeout).`, ...USUAL_GRACE });
}

/** Left for what comes behind dbt: its artifacts, the end of its log. */
const BEFORE_TASK_TIMEOUT_MS = 60_000;

/** Stops dbt before the platform ends the job, which began `ranMs` ago. Returns how to end that. */
export function stopBeforeTaskTimeout(stop: StopSwitch, taskTimeoutMs: number, ranMs: number): () => void {
  const marginMs = Math.min(BEFORE_TASK_TIMEOUT_MS, taskTimeoutMs / 2);
  const leftMs = Math.max(0, taskTimeoutMs - marginMs - ranMs);
  const message = `Stopped ${seconds(marginMs)} before the job's own time limit of ${seconds(taskTimeoutMs)}.`;
  // A timer holds no more than 24 days; Google's longest is 7.
  const timer = setTimeout(() => stop.press({ kind: "timed_out", message, ...USUAL_GRACE }), leftMs);
  timer.unref();
  return () => clearTimeout(timer);
}

export interface StopWatch {
  readonly runId: string;
  readonly stop: StopSwitch;
  readonly cancellations: CancellationStore;
  readonly followers: FollowerStore;
  readonly cancelOnDisconnectMs: number | null;
  readonly now: () => number;
  readonly pace?: Pace;
}

/** Presses the switch when State says that the run is cancelled, or that nobody follows it. Returns how to end that. */
export function watchForStop(watch: StopWatch): () => void {
  const { runId, stop, cancellations, followers, cancelOnDisconnectMs, now, pace = LOCAL_PACE } = watch;
  const startedAtMs = now();

  const askForCancellation = async (): Promise<void> => {
    // State that can't be read is no reason to stop: it is asked again.
    const found = await cancellations.get(runId).catch(() => undefined);
    if (found === undefined) return;
    const reason = found.reason === null ? "" : `: ${found.reason}`;
    stop.press({
      kind: "cancelled",
      message: `Cancelled by ${found.by}${reason}.`.replace(/\.\.$/, "."),
      ...USUAL_GRACE,
    });
  };
  const askForFollowers = async (limitMs: number): Promise<void> => {
    const lastSeenAtMs = await followers.lastSeenAtMs(runId).catch(() => now());
    if (now() - Math.max(startedAtMs, lastSeenAtMs ?? 0) < limitMs) return;
    const message = `Nobody followed the run for ${seconds(limitMs)} (--cancel-on-disconnect).`;
    stop.press({ kind: "cancelled", message, ...USUAL_GRACE });
  };

  const unwatch = cancellations.watch(runId, () => void askForCancellation());
  const timers = [setInterval(() => void askForCancellation(), pace.cancellationEveryMs)];
  if (cancelOnDisconnectMs !== null) {
    timers.push(setInterval(() => void askForFollowers(cancelOnDisconnectMs), pace.followersEveryMs));
  }
  void askForCancellation();
  return () => {
    unwatch();
    for (const timer of timers) clearInterval(timer);
  };
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
