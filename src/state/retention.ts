/**
 * What is kept and what may go. Pure: `gc` carries it out.
 *
 * A run is kept while it is not over, while it is young, while it is among the newest, while it is what `run:latest` of its
 * target stands for, and while a kept run compares with it. A snapshot is kept while a kept run or a schedule names it and
 * for some days after its last use. Contents are kept while a kept snapshot or run names them, and for a day after they
 * were put or asked for: whatever is just being sent is younger than that.
 */
import { isTerminal, type Run } from "../core/run.ts";
import type { SnapshotRecord } from "./snapshots.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

export interface Retention {
  /** Runs that ended longer ago may go … */
  readonly runsMs: number;
  /** … but this many of the newest stay. */
  readonly runsCount: number;
  /** Snapshots that nothing names any more, since their last use. */
  readonly snapshotsMs: number;
  /** Contents and other files that nothing names, since they were put or touched. Never less than a day. */
  readonly graceMs: number;
}

export const DEFAULT_RETENTION: Retention = {
  runsMs: 30 * DAY_MS,
  runsCount: 100,
  snapshotsMs: 7 * DAY_MS,
  graceMs: DAY_MS,
};

export interface RetentionInput {
  readonly nowMs: number;
  readonly keep: Retention;
  readonly runs: readonly Run[];
  /** Ids of the runs that wrote a manifest. */
  readonly withManifest: ReadonlySet<string>;
  readonly snapshots: readonly SnapshotRecord[];
  /** Snapshots that schedules name. */
  readonly scheduled: ReadonlySet<string>;
}

export interface RetentionPlan {
  readonly keptRuns: readonly Run[];
  readonly removedRuns: readonly Run[];
  readonly keptSnapshots: readonly SnapshotRecord[];
  readonly removedSnapshots: readonly SnapshotRecord[];
}

export function planRetention(input: RetentionInput): RetentionPlan {
  const { nowMs, keep, snapshots, scheduled } = input;
  const kept = keptRunIds(input);
  const keptRuns = input.runs.filter(({ id }) => kept.has(id));
  const named = new Set([...keptRuns.map(({ snapshotId }) => snapshotId), ...scheduled]);
  const isKept = ({ id, lastUsedAtMs }: SnapshotRecord): boolean =>
    named.has(id) || lastUsedAtMs >= nowMs - Math.max(keep.snapshotsMs, DAY_MS);
  return {
    keptRuns,
    removedRuns: input.runs.filter(({ id }) => !kept.has(id)),
    keptSnapshots: snapshots.filter(isKept),
    removedSnapshots: snapshots.filter((snapshot) => !isKept(snapshot)),
  };
}

function keptRunIds({ nowMs, keep, runs, withManifest }: RetentionInput): Set<string> {
  const newestFirst = [...runs].sort((a, b) => b.number - a.number);
  const kept = new Set<string>();
  const targets = new Set<string | null>();
  for (const [position, run] of newestFirst.entries()) {
    const endedAtMs = Date.parse(run.finishedAt ?? run.createdAt);
    const isLatestOfTarget = run.status === "success" && withManifest.has(run.id) && !targets.has(run.target);
    if (isLatestOfTarget) targets.add(run.target);
    const isYoung = !(endedAtMs < nowMs - keep.runsMs);
    if (!isTerminal(run.status) || isYoung || position < keep.runsCount || isLatestOfTarget) kept.add(run.id);
  }
  // What a kept run compares with, and what that compares with. A set goes on to what is added meanwhile.
  const byId = new Map(runs.map((run) => [run.id, run]));
  for (const id of kept) {
    for (const source of byId.get(id)?.stateSources ?? []) if (byId.has(source.runId)) kept.add(source.runId);
  }
  return kept;
}
