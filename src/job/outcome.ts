/** What a run came to, told from how dbt ended and who stopped it. Pure. */
import { constants } from "node:os";
import type { FailureReason } from "../core/run.ts";
import type { DbtExit } from "../dbt/port.ts";
import type { StopRequest } from "./stopping.ts";

export interface Outcome {
  readonly status: "success" | "failed" | "cancelled";
  readonly reason: FailureReason | null;
  readonly message: string | null;
  /** dbt's; null where dbt did not run to an end. */
  readonly exitCode: number | null;
}

/** dbt's exit code as a shell tells it: 128 + the signal that killed it. */
export function exitCodeOf({ code, signal }: DbtExit): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

export interface Ending {
  readonly exit: DbtExit;
  /** Set where dbt was stopped. */
  readonly stop: StopRequest | undefined;
  readonly outOfMemory: boolean;
}

/** A dbt that came to a good end all the same, while it was being stopped, has succeeded. */
export function outcomeOf({ exit, stop, outOfMemory }: Ending): Outcome {
  const exitCode = exitCodeOf(exit);
  if (exitCode === 0) return { status: "success", reason: null, message: null, exitCode };
  if (stop !== undefined) return stoppedOutcome(stop, exitCode);
  const failed = (reason: FailureReason, message: string): Outcome => ({ status: "failed", reason, message, exitCode });
  if (outOfMemory) return failed("out_of_memory", "dbt was killed because the machine ran out of memory.");
  if (exit.signal !== null) return failed("dbt_killed", `dbt was killed by ${exit.signal}.`);
  return failed("dbt_failed", `dbt ended with exit code ${exitCode}.`);
}

/** Of a run that was stopped; without an exit code where dbt had not been started. */
export function stoppedOutcome({ kind, message }: StopRequest, exitCode: number | null): Outcome {
  if (kind === "cancelled") return { status: "cancelled", reason: null, message, exitCode };
  return { status: "failed", reason: kind === "timed_out" ? "timed_out" : "job_failed", message, exitCode };
}
