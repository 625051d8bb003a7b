import assert from "node:assert/strict";
import { test } from "node:test";
import { speaksForItself } from "./follow-run.ts";

test("who follows leaves at dbt's end, but for one that was stopped, killed or could not work", () => {
  const leaves = [{ exitCode: 0 }, { exitCode: 1 }, { exitCode: 1, stopped: false }];
  const waits = [{ exitCode: 1, stopped: true }, { exitCode: 0, stopped: true }, { exitCode: 2 }, { exitCode: 137 }];
  for (const finished of leaves) assert.equal(speaksForItself(finished), true, JSON.stringify(finished));
  for (const finished of waits) assert.equal(speaksForItself(finished), false, JSON.stringify(finished));
});
