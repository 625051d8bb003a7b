/** Exit codes of dbt-remote, in one table. Pure. */
import type { FailureReason, RunStatus } from "./run.ts";

/** Every exit code and what it says; the docs are made from this. */
export const EXIT_CODES = [
  { code: 0, meaning: "dbt succeeded." },
  { code: 1, meaning: "dbt ran and something in it failed: a model, a test, a freshness check." },
  {
    code: 2,
    meaning:
      "dbt could not do its work (a usage error, a project that does not compile), the run was cancelled or timed out, or dbt-remote failed before or instead of dbt.",
  },
  {
    code: 75,
    meaning:
      "The connection was lost and could not be mended, or the server no longer lets you follow; the run goes on. The line to attach to it is on stderr.",
  },
  {
    code: 130,
    meaning: "Interrupted: by a signal before a run was posted, or by the second one while it was being cancelled.",
  },
  { code: 137, meaning: "dbt was killed, by somebody or for want of memory. 128 + n stands for signal n." },
] as const;

/** What is known of a run that has ended. */
export interface EndedRun {
  readonly status: RunStatus;
  readonly reason: FailureReason | null;
  /** dbt's own, 128 + signal where it was killed; null where dbt never ended by itself. */
  readonly exitCode: number | null;
}

/**
 * A run that was stopped exits as dbt does on Ctrl-C, whatever it took to stop it; also where dbt took the interruption
 * for a query's failure, which nobody who reads exit codes should.
 */
export function exitCodeOf({ status, reason, exitCode }: EndedRun): number {
  if (status === "success") return 0;
  if (status === "cancelled" || reason === "timed_out") return 2;
  if (reason === "out_of_memory" || reason === "dbt_killed")
    return exitCode === null || exitCode === 0 ? 137 : exitCode;
  return exitCode === null || exitCode === 0 ? 2 : exitCode;
}
