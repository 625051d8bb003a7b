/**
 * The State port: what a backend must offer. Nothing here goes beyond what both SQLite with files and
 * Firestore with Cloud Storage can honour: create-if-absent, compare-and-set, ordered list, watch,
 * immutable blobs, append-only logs. What runs, leases and snapshots mean is written once, on top of it.
 */
import type { Readable } from "node:stream";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/**
 * A record with the version that `replace` and `remove` compare. Versions are opaque and never reused for a key; only what
 * the same State gave is a version.
 */
export interface StoredRecord<T> {
  readonly key: string;
  readonly data: T;
  readonly version: string;
}

export interface RecordQuery {
  /** Equality, type included; null finds explicit nulls only. `a.b` reaches into an object. Needs an entry in indexes.ts. */
  readonly where?: Readonly<Record<string, string | number | boolean | null>>;
  /** A field, `a.b` too; records that lack it are left out. Default: the key, which also breaks ties. */
  readonly orderBy?: string;
  /** Of `orderBy`; keys alone are read in ascending order only (`bad_argument` otherwise), as Firestore does. */
  readonly direction?: "ascending" | "descending";
  /** Exclusive: continue behind a record with this value of `orderBy`. */
  readonly after?: string | number;
  readonly limit?: number;
}

/**
 * Small mutable documents, at most 1 MiB each, in named collections. Unknown keys read as undefined. Keys are 1 to 200
 * of `A-Z a-z 0-9 . _ : @ ~ -` and neither `.` nor `..` nor `__…__`; strings order by their UTF-8 bytes.
 */
export interface RecordStore {
  /** Create-if-absent. Undefined when the key exists already. */
  create<T extends object>(collection: string, key: string, data: T): Promise<StoredRecord<T> | undefined>;
  get<T extends object>(collection: string, key: string): Promise<StoredRecord<T> | undefined>;
  /** Compare-and-set. Undefined when the stored version is another, or the record is gone. */
  replace<T extends object>(
    collection: string,
    key: string,
    data: T,
    ifVersion: string,
  ): Promise<StoredRecord<T> | undefined>;
  /** Last-writer-wins write, for records with one writer (heartbeats). */
  put<T extends object>(collection: string, key: string, data: T): Promise<void>;
  /** False when there was nothing to remove or, with `ifVersion`, when the version is another. */
  remove(collection: string, key: string, ifVersion?: string): Promise<boolean>;
  list<T extends object>(collection: string, query?: RecordQuery): Promise<StoredRecord<T>[]>;
  /**
   * Calls back soon (≤ 1 s) after a record changed or went, in this process or another; may call too often. What
   * changed before is not told: watch first, then read.
   */
  watch(collection: string, key: string, onChange: () => void): Unsubscribe;
  /** The same for any record of a collection. */
  watchAll(collection: string, onChange: () => void): Unsubscribe;
}

export type Unsubscribe = () => void;

export interface BlobInfo {
  readonly name: string;
  readonly size: number;
  /** Last time the blob was written or touched, in ms since the epoch. */
  readonly modifiedAtMs: number;
}

/**
 * Immutable objects. Names are `/`-separated parts of 1 to 200 characters, none of them `.` or `..`, without `\` and
 * control characters (`path_outside` otherwise); no name is the folder of another.
 */
export interface BlobStore {
  /** Create-only and atomic: readers see all or nothing. False when the name exists already (its content is kept). */
  put(name: string, content: Uint8Array | Readable): Promise<boolean>;
  /** Undefined when absent. `length` may reach past the end. */
  read(name: string, range?: { readonly offset: number; readonly length: number }): Promise<Readable | undefined>;
  stat(name: string): Promise<BlobInfo | undefined>;
  /** Marks a blob as just used, so that `gc` spares it. False when absent. */
  touch(name: string): Promise<boolean>;
  /** False when absent or, with `ifUnusedSinceMs`, when it was written or touched at or after that time. */
  remove(name: string, ifUnusedSinceMs?: number): Promise<boolean>;
  /** In byte order of the names. */
  list(prefix: string, options?: { readonly after?: string; readonly limit?: number }): Promise<BlobInfo[]>;
  /** Where whoever has the address may download it for some minutes; undefined where the store has no such addresses. */
  downloadUrl(name: string, fileName: string): Promise<string | undefined>;
}

/** `out` and `err` are dbt's, `job` is what the job itself has to say. */
export type LogChannel = "out" | "err" | "job";

export interface LogSegment {
  readonly channel: LogChannel;
  /** Time of arrival at the job, ms since the epoch. */
  readonly timeMs: number;
  readonly bytes: Uint8Array;
}

export interface PlacedLogSegment extends LogSegment {
  readonly offset: number;
}

export interface LogSeal {
  readonly finalOffset: number;
  readonly sha256: string;
}

export interface LogPage {
  readonly segments: readonly PlacedLogSegment[];
  /** Offset of the next byte wanted. */
  readonly nextOffset: number;
  /** Set once nothing will ever be appended. */
  readonly seal: LogSeal | null;
}

/** A run has two append-only streams: what was printed, and dbt's structured events as NDJSON (channel `out`). */
export type LogName = "log" | "events";

/**
 * One writer per stream. Calls must not overlap; `append` resolves when a reader can see the bytes. Where it throws,
 * `offset` tells how much of them got in.
 */
export interface LogWriter {
  readonly offset: number;
  append(segments: readonly LogSegment[]): Promise<void>;
  /**
   * Resolves when the next append is due: where each append costs, what comes until then belongs together. Who is in a
   * hurry, or has much, need not wait for it.
   */
  due(): Promise<void>;
  /** Ends the stream for good, compacting where the backend gains by it. */
  seal(): Promise<LogSeal>;
  close(): Promise<void>;
}

export interface LogStore {
  /** Opens at the true end, also after a crash of the former writer. Throws on a sealed stream. */
  openWriter(runId: string, name: LogName): Promise<LogWriter>;
  /** From any offset, at any time. Past the end: no segments. A stream nobody wrote reads as empty. */
  read(runId: string, name: LogName, offset: number, maxBytes: number): Promise<LogPage>;
  /** Calls back soon after bytes were appended or the stream was sealed, in this process or another. */
  watch(runId: string, name: LogName, onChange: () => void): Unsubscribe;
  remove(runId: string): Promise<void>;
}

/** One of many contents that arrive together. */
export interface IncomingContent {
  readonly sha256: string;
  /** Of the content, as it was said to be. */
  readonly size: number;
  /** Read before the next one is asked for. */
  readonly content: Uint8Array | Readable;
}

/** The content-addressed files of all snapshots; names are SHA-256 in lower-case hex. */
export interface ContentStore {
  /** Those of the given hashes that the store does not hold. */
  missing(hashes: readonly string[]): Promise<string[]>;
  /** Verifies the bytes against the hash and keeps them. Throws `blob_corrupt` where they differ. */
  put(sha256: string, content: Uint8Array | Readable): Promise<void>;
  /** `put` for many, for as little as the backend can. What arrived whole before an error is kept. Tells how many came. */
  putMany(files: AsyncIterable<IncomingContent>): Promise<number>;
  read(sha256: string): Promise<Readable | undefined>;
  /** A path that can be copied from, where the store has files; undefined elsewhere or when absent. */
  localPath(sha256: string): string | undefined;
  /** Keeps these from `gc` for another period of grace. */
  touch(hashes: readonly string[]): Promise<void>;
  list(options?: { readonly after?: string; readonly limit?: number }): Promise<BlobInfo[]>;
  /** As `BlobStore.remove`. */
  remove(sha256: string, ifUnusedSinceMs?: number): Promise<boolean>;
  /** `remove` for many; tells which went. A backend that keeps many together may leave some for a later time. */
  removeMany(hashes: readonly string[], ifUnusedSinceMs?: number): Promise<string[]>;
  /** Bytes of an unfinished upload of one large file. */
  uploadedBytes(sha256: string): Promise<number>;
  /** Appends a part at `offset`; throws `upload_offset` (details.offset) where that is not the end. Resolves to the new end. */
  appendUpload(sha256: string, offset: number, content: Uint8Array): Promise<number>;
  /** Verifies the uploaded bytes against the hash and keeps them; a mismatch discards them and throws `blob_corrupt`. */
  finishUpload(sha256: string): Promise<void>;
  /** Discards uploads that nobody has added to since then; tells how many. */
  expireUploads(unusedSinceMs: number): Promise<number>;
}

/** Seals what a run needs and nobody may keep. */
export interface EnvelopeStore {
  put(runId: string, envelope: JsonObject): Promise<void>;
  /** Reads and deletes. Undefined where it expired or was taken already. */
  take(runId: string): Promise<JsonObject | undefined>;
  discard(runId: string): Promise<void>;
  /** Deletes envelopes put before this time, in ms since the epoch; tells how many. */
  expire(putBeforeMs: number): Promise<number>;
}

export interface State {
  readonly records: RecordStore;
  readonly blobs: BlobStore;
  readonly contents: ContentStore;
  readonly logs: LogStore;
  readonly envelopes: EnvelopeStore;
  close(): Promise<void>;
}
