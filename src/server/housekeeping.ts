/** Removes what is no longer kept: `dbt-server gc`, and by itself every hour. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type GcReport, gc } from "../state/gc.ts";
import type { State } from "../state/port.ts";
import { DEFAULT_RETENTION } from "../state/retention.ts";
import type { RunStore } from "../state/runs.ts";
import { sweepWorkspaces } from "./workspaces.ts";

export interface HousekeepingParams {
  readonly state: State;
  readonly runs: RunStore;
  readonly dataDir: string;
  readonly retentionMs: number;
  readonly now: () => number;
  readonly dryRun: boolean;
}

export interface HousekeepingReport extends GcReport {
  /** Keys of workspaces that nobody used for days and that hold nothing of their own. */
  readonly workspaces: readonly string[];
}

export async function keepHouse(params: HousekeepingParams): Promise<HousekeepingReport> {
  const { state, runs, dataDir, retentionMs, now, dryRun } = params;
  const report = await gc(state, { now, dryRun, keep: { ...DEFAULT_RETENTION, runsMs: retentionMs } });
  const workspaces = await sweepWorkspaces({ dataDir, runs, nowMs: now(), dryRun });
  if (!dryRun) await removeJobOutputs(dataDir, runs);
  return { ...report, workspaces };
}

/** Folders of runs that are no longer known. */
async function removeJobOutputs(dataDir: string, runs: RunStore): Promise<void> {
  const folder = join(dataDir, "runs");
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return;
  }
  for (const runId of names) {
    if ((await runs.get(runId)) === undefined) rmSync(join(folder, runId), { recursive: true, force: true });
  }
}

/** The report in lines for people. */
export function describeReport(report: HousekeepingReport): string {
  const did = report.dryRun ? "would remove" : "removed";
  const rows: [number, string][] = [
    [report.runs.count, "runs"],
    [report.snapshots, "snapshots"],
    [report.contents.count, `contents (${megabytes(report.contents.bytes)})`],
    [report.blobs.count, `artifacts and lists (${megabytes(report.blobs.bytes)})`],
    [report.workspaces.length, "workspaces"],
    [report.uploads ?? 0, "unfinished uploads"],
    [report.launches, "launches of runs that never came"],
    [report.idempotencyKeys, "idempotency keys"],
    [report.leases, "leases"],
    [report.envelopes ?? 0, "envelopes"],
  ];
  const lines = rows.filter(([count]) => count > 0).map(([count, what]) => `${did} ${count} ${what}`);
  return lines.length === 0 ? "nothing to remove" : lines.join("\n");
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
