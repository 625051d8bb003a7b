/** Removes what is cached and was not used for long: parse states, and packages as they were installed. */
import { PACKAGE_PACKS, type PackagePackRecord, packageBlob, packageBlobs } from "./package-packs.ts";
import { pages } from "./pages.ts";
import { PARSE_STATES, type ParseStatesRecord, parseStateBlobs } from "./parse-states.ts";
import type { BlobInfo, State } from "./port.ts";

export interface SweepCachesParams {
  /** Blobs that nothing names stay as long as they are younger: they may be about to be named. */
  readonly cutoffMs: number;
  /** Entries that were not used since then go. */
  readonly unusedSinceMs: number;
  readonly dryRun: boolean;
}

/** Tells the blobs that went, or would go. */
export async function sweepCaches(state: State, params: SweepCachesParams): Promise<BlobInfo[]> {
  const { cutoffMs, dryRun } = params;
  const named = new Set([...(await sweepParseStates(state, params)), ...(await sweepPackages(state, params))]);
  const removed: BlobInfo[] = [];
  for (const prefix of [parseStateBlobs, packageBlobs]) {
    for await (const info of pages((options) => state.blobs.list(prefix, options))) {
      if (info.modifiedAtMs >= cutoffMs || named.has(info.name)) continue;
      if (dryRun || (await state.blobs.remove(info.name, cutoffMs))) removed.push(info);
    }
  }
  return removed;
}

/** The blobs that are still named. A record that changes meanwhile is just being used, and stays as it is. */
async function sweepParseStates({ records }: State, { unusedSinceMs, dryRun }: SweepCachesParams): Promise<string[]> {
  const named: string[] = [];
  for (const { key, data, version } of await records.list<ParseStatesRecord>(PARSE_STATES)) {
    const entries = data.entries.filter(({ usedAtMs }) => usedAtMs >= unusedSinceMs);
    let isDone = entries.length < data.entries.length;
    if (isDone && !dryRun && entries.length > 0) {
      isDone = (await records.replace<ParseStatesRecord>(PARSE_STATES, key, { entries }, version)) !== undefined;
    } else if (isDone && !dryRun) {
      isDone = await records.remove(PARSE_STATES, key, version);
    }
    for (const { blob } of isDone ? entries : data.entries) named.push(blob);
  }
  return named;
}

async function sweepPackages({ records }: State, { unusedSinceMs, dryRun }: SweepCachesParams): Promise<string[]> {
  const named: string[] = [];
  for (const { key, data, version } of await records.list<PackagePackRecord>(PACKAGE_PACKS)) {
    const isOld = data.usedAtMs < unusedSinceMs;
    if (isOld && (dryRun || (await records.remove(PACKAGE_PACKS, key, version)))) continue;
    named.push(packageBlob(data.id));
  }
  return named;
}
