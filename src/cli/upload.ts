/** Posts a run and, where the server lacks something, sends exactly that. */
import { createReadStream } from "node:fs";
import type { Client } from "../api/client.ts";
import { pause } from "../api/http.ts";
import type { RunAnswer, RunRequest } from "../api/schemas/runs.ts";
import type { SnapshotAnswer, SnapshotRequest } from "../api/schemas/snapshots.ts";
import { AppError } from "../core/errors.ts";
import { diffEntries, type SnapshotEntry, toRow } from "../snapshot/entry.ts";
import { contentPack, planPacks } from "../snapshot/pack.ts";
import type { StatCache } from "../snapshot/stat-cache.ts";
import type { LocalInput } from "./request-inputs.ts";

/** A snapshot that can be sent. */
export interface Sendable {
  readonly id: string;
  readonly entries: readonly SnapshotEntry[];
  /** The content from `offset` on; throws, or breaks off, where the file has changed. */
  open(entry: SnapshotEntry, offset?: number): Uint8Array | AsyncIterable<Uint8Array>;
  /** What this server was last sent. */
  readonly cache?: Pick<StatCache, "lastSnapshot" | "rememberSnapshot">;
}

export interface PostOptions {
  readonly client: Client;
  readonly request: RunRequest;
  readonly idempotencyKey: string;
  readonly snapshot: Sendable;
  readonly inputs: readonly LocalInput[];
  readonly signal: AbortSignal;
  /** Told as bytes leave; `total` is what has to be sent in all, before compression. */
  readonly progress: (sentBytes: number, totalBytes: number) => void;
  /** Called right before each post: from then on the run may exist. */
  readonly posting: () => void;
  /** Called when a post has failed: no run exists. */
  readonly refused: () => void;
}

/** Each part is held several times over on its way: as read, joined, and copied by fetch. */
const PART_BYTES = 4 * 1024 * 1024;
/** A file that changes all the time must not make this go on forever. */
const MAX_POSTS = 6;
const MAX_PART_FAILURES = 8;

/** Resolves to the server's answer once it has the run. */
export async function postRun(options: PostOptions): Promise<RunAnswer> {
  const { client, request, idempotencyKey, signal } = options;
  for (let posts = 1; ; posts += 1) {
    signal.throwIfAborted();
    options.posting();
    try {
      return await client.postRun(request, idempotencyKey, { signal });
    } catch (error) {
      if (!(error instanceof AppError) || posts >= MAX_POSTS) throw error;
      options.refused();
      if (error.code === "snapshot_unknown") {
        const { missing } = await putSnapshot(options);
        await sendContents(missing, options);
      } else if (error.code === "blobs_missing") {
        await sendContents(missingOf(error), options);
      } else throw error;
    }
  }
}

function missingOf({ details }: AppError): string[] {
  const missing = details?.["missing"];
  return Array.isArray(missing) ? missing.filter((hash): hash is string => typeof hash === "string") : [];
}

/** As a difference to what this server was sent last, where it still has that. */
async function putSnapshot({ client, snapshot, signal }: PostOptions): Promise<SnapshotAnswer> {
  const { id, entries, cache } = snapshot;
  const put = async (request: SnapshotRequest) => {
    const answer = await client.putSnapshot(id, request, { signal });
    cache?.rememberSnapshot(client.baseUrl, snapshot);
    return answer;
  };
  const base = cache?.lastSnapshot(client.baseUrl);
  const whole = { put: entries.map(toRow) };
  if (base === undefined || base.id === id) return put(whole);
  const delta = diffEntries(base.entries, entries);
  try {
    return await put({ base: base.id, remove: delta.remove, put: delta.put.map(toRow) });
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "snapshot_base_unknown") throw error;
    return put(whole);
  }
}

/** Sends the contents with these hashes, small ones in packs, large ones in parts. */
async function sendContents(missing: readonly string[], options: PostOptions): Promise<void> {
  const { client, snapshot, inputs, signal, progress } = options;
  const wanted = new Set(missing);
  const fileOf = new Map(inputs.map((input) => [input.sha256, input.absolute]));
  const own = snapshot.entries.filter(({ sha256 }) => wanted.has(sha256));
  const known = new Set(own.map(({ sha256 }) => sha256));
  const others = inputs
    .filter(({ sha256 }) => wanted.has(sha256) && !known.has(sha256))
    .map(({ path, sha256, size }): SnapshotEntry => ({ path, mode: "100644", sha256, size }));
  const open = (entry: SnapshotEntry, offset = 0) => {
    const file = known.has(entry.sha256) ? undefined : fileOf.get(entry.sha256);
    return file === undefined ? snapshot.open(entry, offset) : createReadStream(file, { start: offset });
  };
  const { packs, large } = planPacks([...own, ...others]);
  const total = [...packs.flat(), ...large].reduce((sum, { size }) => sum + size, 0);
  let sent = 0;
  const count = (bytes: number) => {
    sent += bytes;
    progress(sent, total);
  };
  if (total > 0) progress(0, total);
  for (const pack of packs) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of contentPack(pack, open)) chunks.push(chunk as Uint8Array);
    await client.postPack(Buffer.concat(chunks), { signal });
    count(pack.reduce((sum, { size }) => sum + size, 0));
  }
  for (const entry of large) await sendLarge(entry, { client, open, signal, count });
}

interface LargeOptions {
  readonly client: Client;
  readonly open: (entry: SnapshotEntry, offset: number) => Uint8Array | AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
  readonly count: (bytes: number) => void;
}

/** In parts, from wherever the server is: another client, or this one before a break, may have sent some. */
async function sendLarge(entry: SnapshotEntry, { client, open, signal, count }: LargeOptions): Promise<void> {
  let counted = 0;
  const reach = (offset: number) => {
    count(offset - counted);
    counted = offset;
  };
  for (let failures = 0; ; ) {
    let { offset, complete } = await client.uploaded(entry.sha256, { signal });
    reach(complete ? entry.size : offset);
    if (complete) return;
    try {
      for await (const bytes of parts(open(entry, offset))) {
        const answer = await client.sendPart(entry.sha256, { offset, total: entry.size, bytes }, { signal });
        ({ offset, complete } = answer);
        reach(offset);
        failures = 0;
        if (complete) return;
      }
      throw new AppError("upload_offset", `The server has ${offset} of ${entry.size} bytes of ${entry.path}.`);
    } catch (error) {
      const { code } = error instanceof AppError ? error : { code: undefined };
      failures += 1;
      if ((code !== "upload_offset" && code !== "server_unreachable") || failures > MAX_PART_FAILURES) throw error;
      await pause(Math.min(100 * 2 ** failures, 5000), signal);
    }
  }
}

/** Collects chunks into parts of full size; at most one part is held. */
async function* parts(content: Uint8Array | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of content instanceof Uint8Array ? [content] : content) {
    let rest = chunk;
    while (size + rest.length >= PART_BYTES) {
      held.push(rest.subarray(0, PART_BYTES - size));
      rest = rest.subarray(PART_BYTES - size);
      yield Buffer.concat(held);
      held = [];
      size = 0;
    }
    if (rest.length > 0) held.push(rest);
    size += rest.length;
  }
  if (size > 0) yield Buffer.concat(held);
}
