/** The one writer of a log: an object for each append, and a head for those who follow. */
import { createHash, type Hash } from "node:crypto";
import { AppError } from "../../core/errors.ts";
import { type RetryPolicy, withRetries } from "../../gcp/retry.ts";
import type { Storage } from "../../gcp/storage.ts";
import type { LogName, LogSeal, LogSegment, LogWriter } from "../port.ts";
import { inGroups } from "./join-objects.ts";
import { compactLog } from "./log-compaction.ts";
import { decodeFrames, encodeFrame } from "./log-frames.ts";
import type { LogHeads } from "./log-heads.ts";
import { logFolder, type Piece, pieceMetadata, pieceName } from "./log-pieces.ts";
import { createPublisher } from "./publisher.ts";

export interface LogWriterParams {
  readonly storage: Storage;
  readonly heads: LogHeads;
  readonly runId: string;
  readonly name: LogName;
  /** What is there already. */
  readonly pieces: readonly Piece[];
}

/**
 * How far apart appends should be while somebody follows, and while nobody does: each costs an object. The first is a
 * little longer than the pause of the head's writer, which then tells of each append at once.
 */
const FOLLOWED_PACE_MS = 1_200;
const ALONE_PACE_MS = 5_000;
/** Readers hold a whole object. */
const MAX_PIECE_BYTES = 4 * 1024 * 1024;
const READ_AT_ONCE = 16;
/** A run goes on without State for this long; only then is its output lost. */
const INSIST: RetryPolicy = { giveUpAfterMs: 10 * 60_000, firstPauseMs: 500, maxPauseMs: 3_000 };

export function openLogWriter({ storage, heads, runId, name, pieces: known }: LogWriterParams): LogWriter {
  const folder = logFolder(runId, name);
  const pieces = [...known];
  let end = pieces.at(-1)?.end ?? 0;
  /** Undefined where a former writer began: then it takes reading all of it. */
  const hash = end === 0 ? createHash("sha256") : undefined;
  let lastAppendAtMs = Number.NEGATIVE_INFINITY;
  let isOver = false;
  const waiting = new Set<() => void>();

  const publisher = createPublisher((offset) => heads.put(runId, name, { offset, seal: null }));
  const followers = heads.watchFollowed(runId, name, () => {
    publish();
    wake();
  });

  function publish(): void {
    if (end > 0 && !isOver && followers.isFollowed()) publisher.publish(end);
  }

  function wake(): void {
    for (const resume of [...waiting]) resume();
  }

  async function append(segments: readonly LogSegment[]): Promise<void> {
    if (isOver) throw ended(runId, name);
    lastAppendAtMs = performance.now();
    for (const batch of batches(segments)) {
      const frame = encodeFrame(batch);
      if (frame === undefined) continue;
      const piece: Piece = {
        ...{ name: pieceName(folder, end), start: end, end: end + frame.length, bytes: frame.bytes.length },
      };
      await store(piece, frame.bytes);
      for (const { bytes } of batch) hash?.update(bytes);
      pieces.push(piece);
      end = piece.end;
      publish();
    }
  }

  function store(piece: Piece, bytes: Buffer): Promise<void> {
    return insist(async () => {
      const metadata = pieceMetadata(piece.end);
      if ((await storage.put(piece.name, bytes, { onlyNew: true, metadata })) !== undefined) return;
      // An attempt that was given up may have got through all the same.
      const found = await storage.read(piece.name);
      if (found?.bytes.equals(bytes)) return;
      throw new AppError("run_finished", `Another writer goes on with the ${name} of run ${runId} at ${piece.start}.`);
    });
  }

  async function stop(): Promise<void> {
    isOver = true;
    wake();
    followers.stop();
    await publisher.stop();
  }

  return {
    get offset() {
      return end;
    },
    append,
    async due() {
      while (!isOver) {
        const paceMs = followers.isFollowed() ? FOLLOWED_PACE_MS : ALONE_PACE_MS;
        const leftMs = lastAppendAtMs + paceMs - performance.now();
        if (leftMs <= 0) return;
        await new Promise<void>((resolve) => {
          const resume = (): void => {
            clearTimeout(timer);
            waiting.delete(resume);
            resolve();
          };
          const timer = setTimeout(resume, leftMs);
          waiting.add(resume);
        });
      }
    },
    async seal() {
      if (isOver) throw ended(runId, name);
      const digest = hash ?? (await hashOf(storage, pieces));
      const seal: LogSeal = { finalOffset: end, sha256: digest.copy().digest("hex") };
      await stop();
      await insist(() => heads.put(runId, name, { offset: end, seal }));
      // The log has ended well, in however many objects.
      await compactLog(storage, folder, pieces).catch(() => undefined);
      return seal;
    },
    close: stop,
  };
}

/** The error of who writes to a log that has ended. */
export function ended(runId: string, name: LogName): AppError {
  return new AppError("run_finished", `The ${name} of run ${runId} has ended; nothing can be added to it.`);
}

/** Goes on while State is out of reach, but not where it refuses. */
function insist(action: () => Promise<void>): Promise<void> {
  const isPassing = (error: unknown): boolean =>
    error instanceof AppError && error.code === "state_unavailable" && error.details?.["status"] === undefined;
  return withRetries(INSIST, isPassing, action);
}

async function hashOf(storage: Storage, pieces: readonly Piece[]): Promise<Hash> {
  const hash = createHash("sha256");
  for (const group of inGroups(pieces, READ_AT_ONCE)) {
    const objects = await Promise.all(group.map((piece) => storage.read(piece.name)));
    for (const [position, piece] of group.entries()) {
      const object = objects[position];
      if (object === undefined) throw new AppError("state_corrupt", `The log's object ${piece.name} is gone.`);
      for (const { bytes } of decodeFrames(object.bytes, piece.start, piece.name)) hash.update(bytes);
    }
  }
  return hash;
}

/** The segments in their order, as many together as fit into one object. */
function* batches(segments: readonly LogSegment[]): Generator<LogSegment[]> {
  let batch: LogSegment[] = [];
  let size = 0;
  for (const segment of segments) {
    for (let from = 0; from < segment.bytes.byteLength; ) {
      const bytes = segment.bytes.subarray(from, from + MAX_PIECE_BYTES - size);
      batch.push({ ...segment, bytes });
      from += bytes.byteLength;
      size += bytes.byteLength;
      if (size < MAX_PIECE_BYTES) continue;
      yield batch;
      batch = [];
      size = 0;
    }
  }
  if (batch.length > 0) yield batch;
}
