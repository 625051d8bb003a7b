import assert from "node:assert/strict";
import { test } from "node:test";
import { newRun } from "../../test/new-run.ts";
import type { Run } from "../core/run.ts";
import { DEFAULT_RETENTION, planRetention, type RetentionInput } from "./retention.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const NOW_MS = Date.parse("2026-06-01T00:00:00Z");
const daysAgo = (days: number): string => new Date(NOW_MS - days * DAY_MS).toISOString();

function run(number: number, changes: Partial<Run> = {}): Run {
  return {
    ...newRun({ id: `run-${number}`, snapshotId: `snapshot-${number}`, workspace: "w", target: null }),
    ...{ number, status: "failed", reason: null, message: null, exitCode: 1, dbtVersion: null, warnings: [] },
    ...{ createdAt: daysAgo(100), startedAt: null, dbtFinished: null, finishedAt: daysAgo(100) },
    ...{ logSize: 0, logSha256: null },
    ...changes,
  };
}

function removed(runs: readonly Run[], changes: Partial<RetentionInput> = {}): number[] {
  const keep = { ...DEFAULT_RETENTION, runsCount: 0 };
  const input = {
    nowMs: NOW_MS,
    keep,
    runs,
    withManifest: new Set<string>(),
    snapshots: [],
    scheduled: new Set<string>(),
  };
  return planRetention({ ...input, ...changes }).removedRuns.map(({ number }) => number);
}

test("old runs go, young and unfinished ones stay", () => {
  const runs = [
    run(1),
    run(2, { finishedAt: daysAgo(29) }),
    run(3, { status: "running", finishedAt: null }),
    run(4, { finishedAt: daysAgo(31) }),
  ];
  assert.deepEqual(removed(runs), [1, 4]);
});

test("the newest stay, whatever their age", () => {
  assert.deepEqual(removed([run(1), run(2), run(3)], { keep: { ...DEFAULT_RETENTION, runsCount: 2 } }), [1]);
});

test("the latest success of each target that wrote a manifest stays", () => {
  const success = { status: "success" } as const;
  const runs = [
    run(1, { ...success, target: "prod" }),
    run(2, { ...success, target: "prod" }),
    run(3, { ...success, target: "prod" }),
    run(4, { ...success, target: "dev" }),
    run(5, { ...success }),
  ];
  assert.deepEqual(removed(runs, { withManifest: new Set(["run-1", "run-2", "run-4", "run-5"]) }), [1, 3]);
});

test("what a kept run compares with stays, and what that compares with", () => {
  const runs = [
    run(1),
    run(2, { stateSources: [{ path: "x", runId: "run-1" }] }),
    run(3, { status: "running", stateSources: [{ path: "x", runId: "run-2" }] }),
    run(4, { stateSources: [{ path: "x", runId: "run-2" }] }),
  ];
  assert.deepEqual(removed(runs), [4]);
});

test("snapshots stay while a kept run or a schedule names them, and for days after their last use", () => {
  const snapshot = (id: string, days: number) => {
    const lastUsedAtMs = NOW_MS - days * DAY_MS;
    return { id, count: 1, bytes: 1, createdAtMs: lastUsedAtMs, lastUsedAtMs };
  };
  const { removedSnapshots, keptSnapshots } = planRetention({
    nowMs: NOW_MS,
    keep: { ...DEFAULT_RETENTION, runsCount: 0 },
    runs: [run(1), run(2, { finishedAt: daysAgo(1) })],
    withManifest: new Set(),
    snapshots: [snapshot("snapshot-1", 90), snapshot("snapshot-2", 90), snapshot("s", 90), snapshot("young", 6)],
    scheduled: new Set(["s"]),
  });
  assert.deepEqual(
    removedSnapshots.map(({ id }) => id),
    ["snapshot-1"],
  );
  assert.equal(keptSnapshots.length, 3);
});

test("no setting takes the day of grace away", () => {
  const lastUsedAtMs = NOW_MS - DAY_MS / 2;
  const { removedSnapshots } = planRetention({
    nowMs: NOW_MS,
    keep: { runsMs: 0, runsCount: 0, snapshotsMs: 0, graceMs: 0 },
    runs: [],
    withManifest: new Set(),
    snapshots: [{ id: "s", count: 1, bytes: 1, createdAtMs: 0, lastUsedAtMs }],
    scheduled: new Set(),
  });
  assert.deepEqual(removedSnapshots, []);
});
