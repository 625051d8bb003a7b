/**
 * Many small contents as one object: first a row for each (SHA-256, bytes in the pack, size of the content), then the
 * contents, each compressed where that makes it smaller. A short table is in the object's metadata too, where a listing
 * shows it.
 */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { AppError } from "../../core/errors.ts";

/** Where one content stands in its object. */
export interface Member {
  readonly sha256: string;
  readonly offset: number;
  /** Bytes in the object; fewer than `size` where it is compressed. */
  readonly length: number;
  readonly size: number;
}

export interface Pack {
  readonly bytes: Buffer;
  readonly members: readonly Member[];
  readonly metadata: Record<string, string>;
}

export interface PackBuilder {
  readonly count: number;
  /** Of what the pack holds so far. */
  readonly bytes: number;
  has(sha256: string): boolean;
  add(sha256: string, content: Uint8Array): void;
  /** The pack; the builder is empty again. */
  take(): Pack;
}

const HASH_BYTES = 32;
const ROW_BYTES = HASH_BYTES + 8;
/** A table of so many rows fits into the 8 KiB that an object's metadata may have. */
const MAX_ROWS_IN_METADATA = 100;
/** Shorter contents are hardly ever made smaller. */
const MIN_COMPRESSED_BYTES = 128;

export function createPackBuilder(): PackBuilder {
  let rows = new Map<string, { readonly stored: Uint8Array; readonly size: number }>();
  let bytes = 0;
  return {
    get count() {
      return rows.size;
    },
    get bytes() {
      return bytes;
    },
    has: (sha256) => rows.has(sha256),
    add(sha256, content) {
      const stored = compressed(content);
      rows.set(sha256, { stored, size: content.byteLength });
      bytes += stored.byteLength + ROW_BYTES;
    },
    take() {
      const table = Buffer.alloc(rows.size * ROW_BYTES);
      const parts: Uint8Array[] = [table];
      let at = 0;
      for (const [sha256, { stored, size }] of rows) {
        table.write(sha256, at, HASH_BYTES, "hex");
        table.writeUInt32LE(stored.byteLength, at + HASH_BYTES);
        table.writeUInt32LE(size, at + HASH_BYTES + 4);
        at += ROW_BYTES;
        parts.push(stored);
      }
      const inMetadata = rows.size <= MAX_ROWS_IN_METADATA ? { table: table.toString("base64") } : {};
      const metadata = { count: String(rows.size), ...inMetadata };
      rows = new Map();
      bytes = 0;
      return { bytes: Buffer.concat(parts), members: membersOf(table), metadata };
    },
  };
}

/** How many bytes at a pack's beginning are its table; undefined where the metadata are not those of a pack. */
export function tableLength(metadata: Readonly<Record<string, string>>): number | undefined {
  const count = Number(metadata["count"] ?? Number.NaN);
  return Number.isInteger(count) ? count * ROW_BYTES : undefined;
}

/** The table in a pack's metadata, where it is short enough to be there. */
export function tableOf(metadata: Readonly<Record<string, string>>): Buffer | undefined {
  const table = metadata["table"];
  return table === undefined ? undefined : Buffer.from(table, "base64");
}

export function membersOf(table: Buffer): Member[] {
  const members: Member[] = [];
  let offset = table.length;
  for (let at = 0; at + ROW_BYTES <= table.length; at += ROW_BYTES) {
    const sha256 = table.toString("hex", at, at + HASH_BYTES);
    const length = table.readUInt32LE(at + HASH_BYTES);
    members.push({ sha256, offset, length, size: table.readUInt32LE(at + HASH_BYTES + 4) });
    offset += length;
  }
  return members;
}

/** One content of a pack. */
export function contentOf(pack: Buffer, { sha256, offset, length, size }: Member): Buffer {
  const stored = pack.subarray(offset, offset + length);
  try {
    const content = length === size ? stored : inflateRawSync(stored, { maxOutputLength: size });
    if (content.length === size) return content;
  } catch {
    // told below
  }
  throw new AppError("state_corrupt", `The content ${sha256} is damaged where it is stored.`, {
    hint: "Run the command again from the project, which sends the content anew.",
  });
}

function compressed(content: Uint8Array): Uint8Array {
  // A copy in either case: what the caller does with its memory is its own affair.
  if (content.byteLength < MIN_COMPRESSED_BYTES) return Buffer.from(content);
  const packed = deflateRawSync(content);
  return packed.length < content.byteLength ? packed : Buffer.from(content);
}
