/** What Google's words about an execution mean. Pure. */
import { constants } from "node:os";
import type { RunExecution, RunTask } from "../gcp/run.ts";
import type { ExecutionStatus } from "./port.ts";

type Gone = Extract<ExecutionStatus, { state: "gone" }>;

/** What an execution that has not begun waits for, in Google's words; undefined where it runs or nothing is said. */
export function waitsFor({ runningCount = 0, conditions = [] }: RunExecution): string | undefined {
  if (runningCount > 0) return undefined;
  const said = conditions.filter(({ state, message }) => state !== "CONDITION_SUCCEEDED" && message !== undefined);
  // `Completed` sums up what the others say.
  return (said.find(({ type }) => type !== "Completed") ?? said[0])?.message;
}

/** How an execution ended that has ended: its one task tells the exit code, the execution the reason. */
export function endOf(execution: RunExecution, tasks: readonly RunTask[]): Gone {
  const result = tasks.find(({ lastAttemptResult }) => lastAttemptResult !== undefined)?.lastAttemptResult;
  const completed = execution.conditions?.find(({ type }) => type === "Completed");
  const failed = execution.conditions?.find(
    ({ state, message }) => state === "CONDITION_FAILED" && message !== undefined,
  );
  const taskSaid = result?.status?.message ?? failedTask(tasks);
  const words = [taskSaid, completed?.message, failed?.message].filter((each) => each !== undefined);
  const isCancelled = completed?.executionReason === "CANCELLED" || (execution.cancelledCount ?? 0) > 0;
  const hasFailed = completed?.state !== "CONDITION_SUCCEEDED" || (execution.failedCount ?? 0) > 0;
  // A zero is left out: of a task that had a result, no exit code and no signal is exit code 0.
  const signal = signalName(result?.termSignal);
  const exitCode = result === undefined || signal !== null ? null : (result.exitCode ?? (hasFailed ? null : 0));
  const said = words[0] ?? (isCancelled ? "The execution was cancelled." : undefined) ?? completed?.executionReason;
  return {
    ...{ state: "gone", exitCode, signal },
    reason: hasFailed ? (said?.trim() ?? "Google gives no reason.") : null,
    outOfMemory: words.some((text) => /\bmemory limit\b|out of memory/i.test(text)),
    ...(words.some((text) => /timeout (?:was|of .{1,20} was|of .{1,20}) (?:reached|exceeded)/i.test(text)) && {
      timedOut: true,
    }),
    ...(isCancelled && { cancelled: true }),
  };
}

function failedTask(tasks: readonly RunTask[]): string | undefined {
  return tasks.flatMap(({ conditions = [] }) => conditions).find(({ state }) => state === "CONDITION_FAILED")?.message;
}

function signalName(number: number | undefined): string | null {
  if (number === undefined || number === 0) return null;
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}
