/** Headers of tar entries as bytes, so that a pack can compress them apart from the contents. */
import type { SnapshotMode } from "./entry.ts";

const BLOCK = 512;
/** What eleven octal digits hold. */
const MAX_OCTAL_SIZE = 0o77777777777;

export interface TarEntry {
  readonly path: string;
  readonly mode: SnapshotMode;
  readonly size: number;
  readonly mtimeMs: number;
  /** Text of a symbolic link. */
  readonly link?: string | undefined;
}

/** Zeros that fill the last block of a content. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** The two empty blocks that end an archive. */
export const TAR_END = Buffer.alloc(2 * BLOCK);

function isPlain(text: string): boolean {
  return text.length <= 100 && /^[\x20-\x7e]*$/.test(text);
}

function block(name: string, entry: TarEntry, size: number, type: "0" | "2" | "x", link: string): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, "0");
  header.write(name, 0, 100, "latin1");
  header.write(`${octal(Number.parseInt(entry.mode.slice(3), 8) || 0o777, 7)}\0`, 100, "latin1");
  header.write("0000000\x000000000\0", 108, "latin1");
  header.write(`${octal(size > MAX_OCTAL_SIZE ? 0 : size, 11)} `, 124, "latin1");
  header.write(`${octal(Math.max(0, Math.floor(entry.mtimeMs / 1000)), 11)} `, 136, "latin1");
  header.write(`        ${type}`, 148, "latin1");
  header.write(link, 157, 100, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${octal(sum, 6)}\0 `, 148, "latin1");
  return header;
}

function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

/** The header of an entry; with a pax header before it where a name is long or not ASCII, or the size is huge. */
export function tarHeader(entry: TarEntry): Buffer {
  const { path, link = "", size } = entry;
  const type = entry.mode === "120000" ? "2" : "0";
  const length = type === "2" ? 0 : size;
  const records: string[] = [];
  if (!isPlain(path)) records.push(paxRecord("path", path));
  if (!isPlain(link)) records.push(paxRecord("linkpath", link));
  if (length > MAX_OCTAL_SIZE) records.push(paxRecord("size", String(length)));
  const ascii = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, "_").slice(-100);
  const main = block(ascii(path), entry, length, type, ascii(link));
  if (records.length === 0) return main;
  const body = Buffer.from(records.join(""));
  const head = block(`PaxHeader/${ascii(path).slice(-80)}`, { ...entry, mode: "100644" }, body.length, "x", "");
  return Buffer.concat([head, body, tarPadding(body.length), main]);
}
