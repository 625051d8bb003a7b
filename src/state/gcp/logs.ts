/** Logs as objects in Cloud Storage, with a head in Firestore that tells followers of them. */
import type { Storage } from "../../gcp/storage.ts";
import type { LogName, LogPage, LogStore, PlacedLogSegment } from "../port.ts";
import { createByteCache } from "./byte-cache.ts";
import { inParallel } from "./in-parallel.ts";
import { decodeFrames } from "./log-frames.ts";
import { createLogHeads, type LogHead } from "./log-heads.ts";
import { listPieces, logFolder, type Piece, pieceName, runFolder } from "./log-pieces.ts";
import { ended, openLogWriter } from "./log-writer.ts";
import type { GcpRecords } from "./records.ts";

/** Bounds what one page holds in memory, whatever was asked for. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024;
const MAX_PAGE_SEGMENTS = 4096;
/** Objects that were read a moment ago: readers come page by page, and many read the same. */
const CACHE_BYTES = 48 * 1024 * 1024;
/** Logs whose objects are remembered. */
const REMEMBERED_LOGS = 300;
const REMOVALS_AT_ONCE = 16;
const NAMES: readonly LogName[] = ["log", "events"];

export function createLogs(storage: Storage, records: GcpRecords, now: () => number): LogStore {
  const heads = createLogHeads(records, now);
  const cache = createByteCache(CACHE_BYTES);
  const known = new Map<string, Piece[]>();

  function remember(folder: string, pieces: Piece[]): Piece[] {
    known.delete(folder);
    known.set(folder, pieces);
    for (const oldest of known.keys()) {
      if (known.size <= REMEMBERED_LOGS) break;
      known.delete(oldest);
    }
    return pieces;
  }

  const bytesOf = (name: string): Promise<Buffer | undefined> =>
    cache.get(name, async () => (await storage.read(name))?.bytes);

  /** The object that holds the byte at an offset, with its segments; undefined where there is none yet. */
  async function pieceAt(folder: string, offset: number, head: LogHead | undefined): Promise<Piece | undefined> {
    if (head !== undefined && head.seal !== null && offset >= head.seal.finalOffset) return undefined;
    const pieces = known.get(folder) ?? remember(folder, []);
    const found = holding(pieces, offset);
    if (found !== undefined) return found;
    const end = pieces.at(-1)?.end ?? 0;
    // Who follows asks for what comes next, and its name is known: no listing.
    if (offset === end) {
      const next = await probe(folder, offset);
      if (next !== undefined) {
        pieces.push(next);
        return next;
      }
      if (head === undefined || head.offset <= offset) return undefined;
    }
    return holding(remember(folder, await listPieces(storage, folder)), offset);
  }

  async function probe(folder: string, start: number): Promise<Piece | undefined> {
    const name = pieceName(folder, start);
    const object = await bytesOf(name);
    if (object === undefined) return undefined;
    const last = decodeFrames(object, start, name).at(-1);
    return { name, start, end: last === undefined ? start : endOf(last), bytes: object.length };
  }

  async function read(runId: string, name: LogName, offset: number, maxBytes: number): Promise<LogPage> {
    const folder = logFolder(runId, name);
    const wanted = Math.min(Math.max(1, maxBytes), MAX_PAGE_BYTES);
    // Read first: what was there when the log ended is then certainly seen.
    const head = await heads.get(runId, name);
    const segments: PlacedLogSegment[] = [];
    const start = Math.max(0, offset);
    let nextOffset = start;
    let retried = false;
    while (nextOffset - start < wanted && segments.length < MAX_PAGE_SEGMENTS) {
      const piece = await pieceAt(folder, nextOffset, head);
      if (piece === undefined) break;
      const object = await bytesOf(piece.name);
      if (object === undefined) {
        // Joined with others since it was listed.
        if (retried) break;
        retried = true;
        remember(folder, await listPieces(storage, folder));
        continue;
      }
      for (const segment of decodeFrames(object, piece.start, piece.name)) {
        if (endOf(segment) <= nextOffset) continue;
        if (nextOffset - start >= wanted || segments.length >= MAX_PAGE_SEGMENTS) break;
        const from = nextOffset - segment.offset;
        const bytes = segment.bytes.subarray(from, from + wanted - (nextOffset - start));
        segments.push({ ...segment, offset: nextOffset, bytes });
        nextOffset += bytes.byteLength;
      }
    }
    return { segments, nextOffset, seal: head?.seal ?? null };
  }

  return {
    async openWriter(runId, name) {
      const folder = logFolder(runId, name);
      const [head, first] = await Promise.all([heads.get(runId, name), storage.stat(pieceName(folder, 0))]);
      if (head !== undefined && head.seal !== null) throw ended(runId, name);
      // A new log is the usual case, and a listing costs most.
      const pieces = first === undefined ? [] : await listPieces(storage, folder);
      return openLogWriter({ storage, heads, runId, name, pieces });
    },
    read,
    watch: (runId, name, onChange) => heads.watch(runId, name, onChange),
    async remove(runId) {
      const prefix = runFolder(runId);
      const objects = await storage.list({ prefix });
      await inParallel(objects, REMOVALS_AT_ONCE, ({ name }) => storage.remove(name));
      await Promise.all(NAMES.map((name) => heads.remove(runId, name)));
      for (const name of NAMES) known.delete(logFolder(runId, name));
      cache.clear(prefix);
    },
  };
}

const endOf = ({ offset, bytes }: PlacedLogSegment): number => offset + bytes.byteLength;

/** The piece that holds a byte, by bisection. */
function holding(pieces: readonly Piece[], offset: number): Piece | undefined {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((pieces[middle]?.end ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  const found = pieces[low];
  return found !== undefined && found.start <= offset ? found : undefined;
}
