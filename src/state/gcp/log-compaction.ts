/** A log that has ended is read from few objects: each of its bytes is written at most once more for it. */
import { MAX_SOURCES, type Storage } from "../../gcp/storage.ts";
import { inParallel } from "./in-parallel.ts";
import { inGroups } from "./join-objects.ts";
import { joinedName, type Piece, pieceMetadata } from "./log-pieces.ts";

/** Objects that a log may stay in. */
const MAX_PIECES = 50;
/** A reader holds one object at a time. */
const MAX_JOINED_BYTES = 16 * 1024 * 1024;
const JOINS_AT_ONCE = 4;
const REQUESTS_AT_ONCE = 16;

/** Joins the objects of a log. Cut short anywhere, the log is whole: joined objects are there before others go. */
export async function compactLog(
  storage: Storage,
  folder: string,
  pieces: readonly Piece[],
  maxPieces = MAX_PIECES,
): Promise<void> {
  if (pieces.length <= maxPieces) return;
  const groups = inGroups(pieces, Math.ceil(pieces.length / maxPieces))
    .flatMap(bySize)
    .filter(({ length }) => length > 1);
  await inParallel(groups, JOINS_AT_ONCE, async (group) => {
    await join(storage, folder, group);
    await inParallel(group, REQUESTS_AT_ONCE, ({ name }) => storage.remove(name));
  });
}

function bySize(group: readonly Piece[]): Piece[][] {
  const split: Piece[][] = [[]];
  let bytes = 0;
  for (const piece of group) {
    if (bytes > 0 && bytes + piece.bytes > MAX_JOINED_BYTES) {
      split.push([]);
      bytes = 0;
    }
    split.at(-1)?.push(piece);
    bytes += piece.bytes;
  }
  return split;
}

async function join(storage: Storage, folder: string, group: readonly Piece[]): Promise<void> {
  const name = joinedName(folder, group[0]?.start ?? 0);
  const metadata = pieceMetadata(group.at(-1)?.end ?? 0);
  const names = group.map((piece) => piece.name);
  if (group.length <= MAX_SOURCES) {
    await storage.compose(name, names, metadata);
    return;
  }
  // More than one compose takes: by reading them, for composing what was composed would write everything once more.
  const parts = new Map<string, Buffer>();
  await inParallel(names, REQUESTS_AT_ONCE, async (each) => {
    const part = await storage.read(each);
    if (part === undefined) throw new Error(`${each} is gone`);
    parts.set(each, part.bytes);
  });
  const bytes = Buffer.concat(names.map((each) => parts.get(each) ?? Buffer.alloc(0)));
  await storage.put(name, bytes, { onlyNew: true, metadata });
}
