/**
 * Replaces secret values by `*****` in bytes that come in any chunks. Pure.
 *
 * Overlapping secrets are masked as one. The result does not depend on how the bytes were cut into chunks.
 */

/** What a secret value is replaced by; dbt's own mask. */
export const MASK = "*****";

/**
 * Shorter values are left alone: they stand in any text by chance (`dbt`, `000`), so masking them would garble every
 * log and artifact, and they are guessed in no time anyway.
 */
const SHORTEST_SECRET = 4;

/** Lines of a longer secret (a private key) are masked by themselves as well, from this length on. */
const SHORTEST_SECRET_LINE = 16;

/** Words of YAML and JSON; as a value they are a setting, not a secret, and masked they would break every artifact. */
const WORDS: ReadonlySet<string> = new Set(["true", "false", "null", "none"]);

const MASK_BYTES = Buffer.from(MASK);
const NOTHING: Buffer = Buffer.alloc(0);

/** Scrubs one stream. Take one for each: it remembers the tail that may be the start of a secret. */
export interface Scrubber {
  /**
   * The bytes that can be passed on now. Held back is at most a tail that is the beginning of a secret, so a line is
   * never delayed unless it ends in such a one.
   */
  push(chunk: Uint8Array): Buffer;
  /** What was held back, at the end of the stream. */
  flush(): Buffer;
  /** A whole text, apart from the stream. */
  scrubText(text: string): string;
}

/** A scrubber for these values and their JSON-escaped forms; blanks around a value don't count. */
export function createScrubber(secrets: readonly string[]): Scrubber {
  const patterns = compile(secrets);
  let held: Buffer = NOTHING;
  // How many of the held bytes belong to a mask that has been written already.
  let masked = 0;

  const push = (chunk: Uint8Array, last: boolean): Buffer => {
    const bytes = held.length === 0 ? asBuffer(chunk) : Buffer.concat([held, chunk]);
    const scan = scanBytes(patterns, bytes, masked, last);
    // A copy: the caller may use its chunk's memory again.
    held = Buffer.from(bytes.subarray(scan.end));
    masked = scan.masked;
    return scan.output;
  };

  return {
    push: (chunk) => (patterns.longest === 0 ? asBuffer(chunk) : push(chunk, false)),
    flush: () => (held.length === 0 ? NOTHING : push(NOTHING, true)),
    scrubText: (text) => {
      if (patterns.longest === 0) return text;
      const bytes = Buffer.from(text);
      const { output } = scanBytes(patterns, bytes, 0, true);
      return output === bytes ? text : output.toString();
    },
  };
}

interface Patterns {
  /** By first byte, the longest first. */
  readonly byFirst: readonly (readonly Buffer[] | undefined)[];
  readonly longest: number;
}

/** What prints JSON is itself logged as JSON; an option's value in JSON stands in a command line, and that in a `repr`. */
const NESTING = 3;

/** `text` as it stands, as a string of SQL writes it, and both as JSON and Python's `repr` write them, and these again. */
function forms(text: string): Set<string> {
  const found = new Set([text, text.replaceAll("'", "''")]);
  for (let level = 0; level < NESTING; level += 1) {
    for (const form of [...found]) for (const written of [...inJson(form), ...inRepr(form)]) found.add(written);
  }
  return found;
}

/** Python leaves double quotes alone, and single ones too, unless a text has both. */
function inRepr(text: string): string[] {
  const escaped = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
  return [escaped, ...(text.includes("'") && text.includes('"') ? [escaped.replaceAll("'", "\\'")] : [])];
}

/** JavaScript's way and, escaping all but ASCII, Python's. */
function inJson(text: string): string[] {
  const escaped = JSON.stringify(text).slice(1, -1);
  const ascii = escaped.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return [escaped, ascii];
}

function compile(secrets: readonly string[]): Patterns {
  const texts = new Set<string>();
  for (const secret of secrets) {
    const value = secret.trim();
    if (value.length < SHORTEST_SECRET || WORDS.has(value.toLowerCase())) continue;
    const lines = value.split(/\r?\n/).map((line) => line.trim());
    const long = lines.filter((line) => line.length >= SHORTEST_SECRET_LINE && !line.startsWith("-----"));
    for (const part of [value, ...(lines.length > 1 ? long : [])]) {
      for (const form of forms(part)) texts.add(form);
    }
  }
  const byFirst: (Buffer[] | undefined)[] = new Array(256).fill(undefined);
  const sorted = [...texts].map((text) => Buffer.from(text)).sort((a, b) => b.length - a.length);
  for (const pattern of sorted) {
    const first = pattern[0];
    if (first === undefined) continue;
    const list = byFirst[first];
    if (list === undefined) byFirst[first] = [pattern];
    else list.push(pattern);
  }
  return { byFirst, longest: sorted[0]?.length ?? 0 };
}

interface Scan {
  readonly output: Buffer;
  /** Where scanning stopped: from here on the bytes are held back. */
  readonly end: number;
  /** How many of the held bytes are masked already. */
  readonly masked: number;
}

function scanBytes({ byFirst }: Patterns, bytes: Buffer, alreadyMasked: number, last: boolean): Scan {
  const parts: Buffer[] = [];
  let plainFrom = alreadyMasked;
  let maskEnd = alreadyMasked;
  let at = 0;
  for (; at < bytes.length; at++) {
    const candidates = byFirst[bytes[at] ?? 0];
    if (candidates === undefined) continue;
    const match = longestMatch(candidates, bytes, at, last);
    if (match === UNDECIDED) break;
    if (match === 0) continue;
    if (at >= maskEnd) {
      if (at > plainFrom) parts.push(bytes.subarray(plainFrom, at));
      parts.push(MASK_BYTES);
    }
    maskEnd = Math.max(maskEnd, at + match);
    plainFrom = maskEnd;
  }
  if (at > plainFrom) parts.push(bytes.subarray(plainFrom, at));
  const only = parts.length === 1 ? parts[0] : undefined;
  const output = only?.length === bytes.length && only !== MASK_BYTES ? bytes : (only ?? Buffer.concat(parts));
  return { output, end: at, masked: Math.max(0, maskEnd - at) };
}

const UNDECIDED = -1;

/** Length of the longest pattern at `at`, 0 for none, UNDECIDED where the bytes end before a longer one is ruled out. */
function longestMatch(candidates: readonly Buffer[], bytes: Buffer, at: number, last: boolean): number {
  const left = bytes.length - at;
  for (const pattern of candidates) {
    const length = Math.min(pattern.length, left);
    // By hand: most candidates differ in their second byte, for which a native comparison is ten times slower.
    let same = 1;
    while (same < length && pattern[same] === bytes[at + same]) same++;
    if (same < length) continue;
    if (length === pattern.length) return length;
    if (!last) return UNDECIDED;
  }
  return 0;
}

function asBuffer(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
