import assert from "node:assert/strict";
import { test } from "node:test";
import { outcomeOf } from "./outcome.ts";
import type { StopRequest } from "./stopping.ts";

const stop = (kind: StopRequest["kind"]): StopRequest => ({ kind, message: "Because.", graceMs: 1, termMs: 1 });
const ending = { stop: undefined, outOfMemory: false };

test("how a run ended is told from dbt's end, who stopped it, and memory", () => {
  const exit = (code: number | null, signal: NodeJS.Signals | null = null) => ({ code, signal });
  const cases = [
    [{ ...ending, exit: exit(0) }, "success", null, 0],
    [{ ...ending, exit: exit(1) }, "failed", "dbt_failed", 1],
    [{ ...ending, exit: exit(2) }, "failed", "dbt_failed", 2],
    [{ ...ending, exit: exit(null, "SIGKILL") }, "failed", "dbt_killed", 137],
    [{ ...ending, exit: exit(null, "SIGSEGV") }, "failed", "dbt_killed", 139],
    [{ ...ending, exit: exit(null, "SIGKILL"), outOfMemory: true }, "failed", "out_of_memory", 137],
    [{ ...ending, exit: exit(2), stop: stop("cancelled") }, "cancelled", null, 2],
    [{ ...ending, exit: exit(null, "SIGINT"), stop: stop("cancelled") }, "cancelled", null, 130],
    [{ ...ending, exit: exit(2), stop: stop("timed_out") }, "failed", "timed_out", 2],
    [{ ...ending, exit: exit(2), stop: stop("failed") }, "failed", "job_failed", 2],
    [{ ...ending, exit: exit(0), stop: stop("cancelled") }, "success", null, 0],
  ] as const;
  for (const [given, status, reason, exitCode] of cases) {
    const { message, ...found } = outcomeOf(given);
    assert.deepEqual(found, { status, reason, exitCode });
    assert.equal(message === null, status === "success");
  }
});
