import assert from "node:assert/strict";
import { test } from "node:test";
import { ERROR_CODES } from "./errors.ts";
import { type EndedRun, EXIT_CODES, exitCodeOf } from "./exit-codes.ts";

test("how a run ended, and what dbt-remote exits with", () => {
  const cases: [EndedRun["status"], EndedRun["reason"], number | null, number][] = [
    ["success", null, 0, 0],
    ["failed", "dbt_failed", 1, 1],
    ["failed", "dbt_failed", 2, 2],
    ["failed", "dbt_killed", 137, 137],
    ["failed", "dbt_killed", 143, 143],
    ["failed", "out_of_memory", null, 137],
    ["failed", "timed_out", 2, 2],
    ["failed", "timed_out", 1, 2],
    ["failed", "timed_out", 137, 2],
    ["failed", "lost", null, 2],
    ["failed", "launch_failed", null, 2],
    ["failed", "envelope_expired", null, 2],
    ["failed", "job_failed", 0, 2],
    ["cancelled", null, 2, 2],
    ["cancelled", null, 1, 2],
    ["cancelled", null, 130, 2],
    ["cancelled", null, null, 2],
    ["cancelled", null, 0, 2],
  ];
  for (const [status, reason, exitCode, wanted] of cases) {
    assert.equal(exitCodeOf({ status, reason, exitCode }), wanted, `${status} ${reason} ${exitCode}`);
  }
});

test("every exit code of an error is in the table", () => {
  const known = new Set<number>(EXIT_CODES.map(({ code }) => code));
  for (const [name, { exit }] of Object.entries(ERROR_CODES)) assert.ok(known.has(exit), name);
});
