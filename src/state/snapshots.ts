/**
 * Snapshots: the list of a snapshot's files as a blob, and a record that says it is there and when it was last used. Their
 * contents are in the `ContentStore`.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { AppError } from "../core/errors.ts";
import { update } from "./compare-and-set.ts";
import type { State } from "./port.ts";
import { readAll } from "./read-all.ts";

export const SNAPSHOTS = "snapshots";
/** A use is not written down again before this time has passed. */
const USE_GRANULARITY_MS = 60 * 60 * 1000;

/** One file of a snapshot, as the snapshot folder defines it. */
export interface StoredEntry {
  readonly path: string;
  readonly mode: "100644" | "100755" | "120000";
  readonly sha256: string;
  readonly size: number;
}

export interface SnapshotRecord {
  readonly id: string;
  /** Number of files. */
  readonly count: number;
  /** Sum of their sizes. */
  readonly bytes: number;
  readonly createdAtMs: number;
  readonly lastUsedAtMs: number;
}

export interface SnapshotStore {
  known(id: string): Promise<boolean>;
  /** Throws `snapshot_unknown`. */
  load(id: string): Promise<StoredEntry[]>;
  /**
   * Keeps a tree whose entries were checked and sorted. Throws `blob_corrupt` where they don't make this id. Resolves to
   * the contents that still have to be sent. `base` is a known snapshot that it was made of: then only what differs
   * is looked after. Throws `snapshot_base_unknown` where it is not known.
   */
  put(id: string, entries: readonly StoredEntry[], base?: string): Promise<string[]>;
  /** Says that a run needs it, so that `gc` spares it; to be called before that run is made. Throws `snapshot_unknown`. */
  use(id: string): Promise<void>;
  /** Hashes of the contents that it lacks. Throws `snapshot_unknown`. */
  missing(id: string): Promise<string[]>;
}

export interface SnapshotStoreParams {
  readonly state: Pick<State, "records" | "blobs" | "contents">;
  readonly now: () => number;
  readonly snapshotId: (entries: readonly StoredEntry[]) => string;
}

export function snapshotBlob(id: string): string {
  return `snapshots/${id}`;
}

/** The files of a snapshot, undefined where its list is not there. */
export async function loadEntries(blobs: State["blobs"], id: string): Promise<StoredEntry[] | undefined> {
  const content = await blobs.read(snapshotBlob(id));
  if (content === undefined) return undefined;
  return JSON.parse(gunzipSync(await readAll(content)).toString("utf8")) as StoredEntry[];
}

export function createSnapshotStore({ state, now, snapshotId }: SnapshotStoreParams): SnapshotStore {
  const { records, blobs, contents } = state;
  const unknown = (id: string): AppError =>
    new AppError("snapshot_unknown", `The server does not have snapshot ${id.slice(0, 100)}.`, {
      hint: "Send it whole, then repeat the request.",
    });

  async function load(id: string): Promise<StoredEntry[]> {
    const known = await records.get<SnapshotRecord>(SNAPSHOTS, id);
    const entries = known === undefined ? undefined : await loadEntries(blobs, id);
    if (entries === undefined) throw unknown(id);
    return entries;
  }

  async function use(id: string): Promise<void> {
    const found = await update<SnapshotRecord>(records, SNAPSHOTS, id, (record) =>
      now() - record.lastUsedAtMs < USE_GRANULARITY_MS ? record : { ...record, lastUsedAtMs: now() },
    );
    if (found === undefined) throw unknown(id);
  }

  /** The hashes that nothing keeps but this snapshot: those of a base that was used just now are safe. */
  async function newTo(base: string | undefined, hashes: readonly string[]): Promise<readonly string[]> {
    if (base === undefined) return hashes;
    try {
      await use(base);
      const kept = new Set(hashesOf(await load(base)));
      return hashes.filter((sha256) => !kept.has(sha256));
    } catch (error) {
      if (!(error instanceof AppError && error.code === "snapshot_unknown")) throw error;
      throw new AppError("snapshot_base_unknown", error.message, { hint: "Send the snapshot whole.", cause: error });
    }
  }

  const hashesOf = (entries: readonly StoredEntry[]): string[] => [...new Set(entries.map(({ sha256 }) => sha256))];

  return {
    known: async (id) => (await records.get<SnapshotRecord>(SNAPSHOTS, id)) !== undefined,
    load,
    async put(id, entries, base) {
      const found = snapshotId(entries);
      if (found !== id) {
        throw new AppError("blob_corrupt", `The files sent make snapshot ${found}, not ${id.slice(0, 100)}.`, {
          hint: "The files changed or were damaged on their way; send the snapshot again.",
        });
      }
      const list = gzipSync(
        JSON.stringify(entries.map(({ path, mode, sha256, size }) => ({ path, mode, sha256, size }))),
      );
      // Touched or made anew, so that a sweep that is under way spares it.
      if (!(await blobs.put(snapshotBlob(id), list)) && !(await blobs.touch(snapshotBlob(id)))) {
        await blobs.put(snapshotBlob(id), list);
      }
      const bytes = entries.reduce((sum, { size }) => sum + size, 0);
      const record: SnapshotRecord = { id, count: entries.length, bytes, createdAtMs: now(), lastUsedAtMs: now() };
      if ((await records.create(SNAPSHOTS, id, record)) === undefined) await use(id);
      const hashes = hashesOf(entries);
      await contents.touch(await newTo(base, hashes));
      return contents.missing(hashes);
    },
    use,
    missing: async (id) => contents.missing(hashesOf(await load(id))),
  };
}
