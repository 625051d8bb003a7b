/** Marks and sweeps a State by its retention. May run beside a server and its jobs, and be cut short anywhere. */
import { ENVELOPE_LIFETIME_MS } from "../core/envelope.ts";
import type { Run } from "../core/run.ts";
import { ARTIFACTS, type ArtifactsRecord, runBlobs } from "./artifacts.ts";
import { CANCELLATIONS } from "./cancellations.ts";
import { EXECUTIONS, type LaunchedExecution } from "./executions.ts";
import { FOLLOWERS } from "./followers.ts";
import { sweepCaches } from "./gc-caches.ts";
import { HEARTBEATS } from "./heartbeats.ts";
import { LEASES, type Lease } from "./leases.ts";
import { pages } from "./pages.ts";
import type { BlobInfo, State } from "./port.ts";
import { READ_POSITIONS } from "./read-positions.ts";
import { planRetention, type Retention } from "./retention.ts";
import { RUNS } from "./run-list.ts";
import { createRunStore, IDEMPOTENCY, type IdempotencyRecord } from "./runs.ts";
import { loadEntries, SNAPSHOTS, type SnapshotRecord, snapshotBlob } from "./snapshots.ts";

/** Records of `{snapshotId}`, beside what else a schedule has. */
export const SCHEDULES = "schedules";
const DAY_MS = 24 * 60 * 60 * 1000;

export interface GcParams {
  readonly now: () => number;
  readonly keep: Retention;
  /** Only tells what would go. */
  readonly dryRun: boolean;
}

interface Swept {
  readonly count: number;
  readonly bytes: number;
}

export interface GcReport {
  readonly dryRun: boolean;
  /** With their logs and artifacts; `bytes` are those of the logs. */
  readonly runs: Swept;
  readonly snapshots: number;
  readonly contents: Swept;
  /** Artifacts and lists of files, those of removed runs and snapshots included. */
  readonly blobs: Swept;
  /** Records of launches that were made ahead of runs which never came. */
  readonly launches: number;
  readonly idempotencyKeys: number;
  readonly leases: number;
  /** Null in a dry run: they can't be counted without opening them. */
  readonly envelopes: number | null;
  readonly uploads: number | null;
}

export async function gc(state: State, { now, keep, dryRun }: GcParams): Promise<GcReport> {
  const nowMs = now();
  const cutoffMs = nowMs - Math.max(keep.graceMs, DAY_MS);
  const runs = await createRunStore(state.records, now).list();
  const snapshots = await state.records.list<SnapshotRecord>(SNAPSHOTS);
  const artifacts = await state.records.list<ArtifactsRecord>(ARTIFACTS);
  const plan = planRetention({
    nowMs,
    keep,
    runs,
    withManifest: new Set(artifacts.filter(({ data }) => data.manifestPath !== null).map(({ key }) => key)),
    snapshots: snapshots.map(({ data }) => data),
    scheduled: await scheduledSnapshots(state),
  });
  const removedBlobs: BlobInfo[] = [];
  for (const run of plan.removedRuns) removedBlobs.push(...(await removeRun(state, run, now, dryRun)));
  const removedSnapshots = new Set<string>();
  for (const { key, version } of snapshots) {
    if (!plan.removedSnapshots.some(({ id }) => id === key)) continue;
    // One that was used meanwhile has another version, and stays.
    if (dryRun || (await state.records.remove(SNAPSHOTS, key, version))) removedSnapshots.add(key);
  }
  const gone = new Set(plan.removedRuns.map(({ id }) => id));
  removedBlobs.push(...(await sweepBlobs(state, { cutoffMs, dryRun, gone, removedSnapshots })));
  removedBlobs.push(...(await sweepCaches(state, { cutoffMs, dryRun, unusedSinceMs: nowMs - keep.runsMs })));
  const contents = await sweepContents(state, { cutoffMs, dryRun, gone, removedSnapshots }, now);
  return {
    dryRun,
    runs: { count: plan.removedRuns.length, bytes: plan.removedRuns.reduce((sum, run) => sum + (run.logSize ?? 0), 0) },
    snapshots: removedSnapshots.size,
    contents,
    blobs: sum(removedBlobs),
    launches: await sweepAhead(state, { cutoffMs, dryRun }),
    idempotencyKeys: await sweepIdempotency(state, nowMs, dryRun),
    leases: await sweepLeases(state, nowMs, dryRun),
    envelopes: dryRun ? null : await state.envelopes.expire(nowMs - ENVELOPE_LIFETIME_MS),
    uploads: dryRun ? null : await state.contents.expireUploads(cutoffMs),
  };
}

const sum = (infos: readonly BlobInfo[]): Swept => ({
  count: infos.length,
  bytes: infos.reduce((bytes, { size }) => bytes + size, 0),
});

async function scheduledSnapshots({ records }: State): Promise<Set<string>> {
  const schedules = await records.list<{ snapshotId?: string }>(SCHEDULES);
  return new Set(schedules.flatMap(({ data }) => (data.snapshotId === undefined ? [] : [data.snapshotId])));
}

/** The record goes last: cut short, the next sweep begins again. */
async function removeRun(state: State, run: Run, now: () => number, dryRun: boolean): Promise<BlobInfo[]> {
  const blobs = await state.blobs.list(runBlobs(run.id));
  if (dryRun) return blobs;
  for (const { name } of blobs) await state.blobs.remove(name);
  await state.logs.remove(run.id);
  await state.envelopes.discard(run.id);
  for (const collection of [CANCELLATIONS, HEARTBEATS, FOLLOWERS, EXECUTIONS, ARTIFACTS, READ_POSITIONS]) {
    await state.records.remove(collection, run.id);
  }
  await createRunStore(state.records, now).remove(run.id);
  return blobs;
}

interface Sweep {
  readonly cutoffMs: number;
  readonly dryRun: boolean;
  /** Runs that this sweep removes, or would remove. */
  readonly gone: ReadonlySet<string>;
  readonly removedSnapshots: ReadonlySet<string>;
}

/** Blobs whose run or snapshot is gone: of this sweep, or of one that was cut short. */
async function sweepBlobs(state: State, { cutoffMs, dryRun, gone, removedSnapshots }: Sweep): Promise<BlobInfo[]> {
  const removed: BlobInfo[] = [];
  const isNeeded = async (name: string): Promise<boolean> => {
    const [folder, id = ""] = name.split("/");
    // Those of the runs of this sweep were counted with them.
    if (folder === "runs") return gone.has(id) || (await state.records.get("runs", id)) !== undefined;
    if (folder === "snapshots") {
      return !removedSnapshots.has(id) && (await state.records.get(SNAPSHOTS, id)) !== undefined;
    }
    return true;
  };
  for (const prefix of ["runs/", snapshotBlob("")]) {
    for await (const info of pages((options) => state.blobs.list(prefix, options))) {
      if (info.modifiedAtMs >= cutoffMs || (await isNeeded(info.name))) continue;
      if (dryRun || (await state.blobs.remove(info.name, cutoffMs))) removed.push(info);
    }
  }
  return removed;
}

/** Reads anew what is named: a run or snapshot that came during the sweep counts. */
async function sweepContents(state: State, sweep: Sweep, now: () => number): Promise<Swept> {
  const { cutoffMs, dryRun, gone, removedSnapshots } = sweep;
  const named = new Set<string>();
  for (const { key } of await state.records.list<SnapshotRecord>(SNAPSHOTS)) {
    if (removedSnapshots.has(key)) continue;
    for (const { sha256 } of (await loadEntries(state.blobs, key)) ?? []) named.add(sha256);
  }
  for (const run of await createRunStore(state.records, now).list()) {
    if (gone.has(run.id)) continue;
    for (const { sha256 } of run.inputs) named.add(sha256);
  }
  const old: BlobInfo[] = [];
  for await (const info of pages((options) => state.contents.list(options))) {
    if (!named.has(info.name) && info.modifiedAtMs < cutoffMs) old.push(info);
  }
  if (dryRun) return sum(old);
  const hashes = old.map(({ name }) => name);
  const removed = new Set(await state.contents.removeMany(hashes, cutoffMs));
  return sum(old.filter(({ name }) => removed.has(name)));
}

async function sweepIdempotency({ records }: State, nowMs: number, dryRun: boolean): Promise<number> {
  const query = { orderBy: "expiresAtMs", direction: "descending", after: nowMs } as const;
  let count = 0;
  for (const { key, version } of await records.list<IdempotencyRecord>(IDEMPOTENCY, query)) {
    if (dryRun || (await records.remove(IDEMPOTENCY, key, version))) count += 1;
  }
  return count;
}

/** Their jobs have gone long since, such as by a crash. */
async function sweepAhead(
  { records }: State,
  { cutoffMs, dryRun }: Pick<Sweep, "cutoffMs" | "dryRun">,
): Promise<number> {
  let count = 0;
  for (const { key, version, data } of await records.list<LaunchedExecution>(EXECUTIONS)) {
    if (data.ahead === undefined || data.launchedAtMs >= cutoffMs) continue;
    if ((await records.get(RUNS, key)) !== undefined) continue;
    if (dryRun || (await records.remove(EXECUTIONS, key, version))) count += 1;
  }
  return count;
}

async function sweepLeases({ records }: State, nowMs: number, dryRun: boolean): Promise<number> {
  let count = 0;
  for (const { key, version, data } of await records.list<Lease>(LEASES)) {
    if (data.expiresAtMs > nowMs) continue;
    if (dryRun || (await records.remove(LEASES, key, version))) count += 1;
  }
  return count;
}
