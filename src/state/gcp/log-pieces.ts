/**
 * The objects of a log: one for each append, named by the offset at which it begins, and those that were joined to one
 * when the log ended. They follow each other without a gap.
 */
import type { Storage, StoredObject } from "../../gcp/storage.ts";
import { checkKey } from "../names.ts";
import type { LogName } from "../port.ts";

/** An object of a log. */
export interface Piece {
  readonly name: string;
  /** Offsets of its first byte, and behind its last. */
  readonly start: number;
  readonly end: number;
  /** Of the object. */
  readonly bytes: number;
}

const PREFIX = "logs/";
const OFFSET_DIGITS = 15;
/** Sorts a joined object behind the first of those that it was made of. */
const JOINED = ".c";

/** Where all logs of a run lie. */
export const runFolder = (runId: string): string => `${PREFIX}${checkKey(runId)}/`;

/** Where the objects of one log lie. */
export const logFolder = (runId: string, name: LogName): string => `${runFolder(runId)}${name}/`;

/** The name of the object that begins at an offset. */
export const pieceName = (folder: string, start: number): string => folder + String(start).padStart(OFFSET_DIGITS, "0");

/** The name of an object that others were joined to. */
export const joinedName = (folder: string, start: number): string => pieceName(folder, start) + JOINED;

/** The metadata that let a listing tell what an object covers. */
export const pieceMetadata = (end: number): Record<string, string> => ({ end: String(end) });

/** The objects that make the log, in order; where two cover the same, the larger one. */
export async function listPieces(storage: Storage, folder: string): Promise<Piece[]> {
  const found = (await storage.list({ prefix: folder })).map((object) => pieceOf(object, folder));
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  const pieces: Piece[] = [];
  let end = 0;
  for (const piece of found) {
    // A gap could only come of objects that somebody removed; what is behind it can't be read in order.
    if (piece.start > end) break;
    if (piece.start < end) continue;
    pieces.push(piece);
    end = piece.end;
  }
  return pieces;
}

function pieceOf({ name, size, metadata }: StoredObject, folder: string): Piece {
  const start = Number(name.slice(folder.length, folder.length + OFFSET_DIGITS));
  return { name, start, end: Number(metadata["end"] ?? start), bytes: size };
}
