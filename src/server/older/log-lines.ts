/** A run's log as lines of an older client: time, level and text with tabs between. */
import { isTerminal, type Run } from "../../core/run.ts";
import type { LogChannel, LogStore } from "../../state/port.ts";

export interface OlderLines {
  readonly lines: readonly string[];
  /** Offset behind the last of them. */
  readonly nextOffset: number;
  /** False where there is more already than one answer holds. */
  readonly isAll: boolean;
}

interface RawLine {
  readonly channel: LogChannel;
  readonly timeMs: number;
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const PAGE_BYTES = 1024 * 1024;
const MAX_BYTES = 4 * PAGE_BYTES;
const LAST_LINE = "END JOB";

/** Whole lines from an offset on; those of a run that has ended are whole. */
export async function readOlderLines(
  logs: Pick<LogStore, "read">,
  run: Run,
  from: number,
  maxBytes: number = MAX_BYTES,
): Promise<OlderLines> {
  const open = new Map<LogChannel, { start: number; timeMs: number; parts: Uint8Array[] }>();
  const found: RawLine[] = [];
  let offset = from;
  let isAll = false;
  const close = (channel: LogChannel, end: number): void => {
    const line = open.get(channel);
    if (line === undefined) return;
    open.delete(channel);
    found.push({ channel, timeMs: line.timeMs, start: line.start, end, text: Buffer.concat(line.parts).toString() });
  };
  while (!isAll && offset - from < maxBytes) {
    const page = await logs.read(run.id, "log", offset, PAGE_BYTES);
    for (const { channel, timeMs, bytes, offset: at } of page.segments) {
      for (let position = 0; position < bytes.length; ) {
        const newline = bytes.indexOf(0x0a, position);
        const end = newline === -1 ? bytes.length : newline;
        const line = open.get(channel) ?? { start: at + position, timeMs, parts: [] };
        line.parts.push(bytes.subarray(position, end));
        open.set(channel, line);
        position = newline === -1 ? end : newline + 1;
        if (newline !== -1) close(channel, at + position);
      }
    }
    isAll = page.segments.length === 0;
    offset = page.nextOffset;
  }
  const isEnded = isAll && isTerminal(run.status);
  // A line longer than an answer is given in pieces.
  if (isEnded || (!isAll && found.length === 0)) for (const channel of [...open.keys()]) close(channel, offset);
  const cut = lastWholeOffset(found, [...open.values()], offset);
  const lines = found.filter(({ end }) => end <= cut).sort((a, b) => a.end - b.end);
  return { lines: lines.flatMap(formatLine), nextOffset: cut, isAll };
}

/** What comes behind an unfinished line waits for it, and so does a line that reaches behind its beginning. */
function lastWholeOffset(
  lines: readonly RawLine[],
  open: readonly { readonly start: number }[],
  offset: number,
): number {
  let cut = Math.min(offset, ...open.map(({ start }) => start));
  for (const { start, end } of [...lines].sort((a, b) => b.end - a.end)) if (end > cut) cut = Math.min(cut, start);
  return cut;
}

/** The lines of a run's end where the job did not come to write them itself. */
export async function missingEnd(logs: Pick<LogStore, "read">, run: Run): Promise<readonly string[]> {
  const size = run.logSize ?? 0;
  const length = LAST_LINE.length + 1;
  const { segments } = await logs.read(run.id, "log", Math.max(0, size - length), length);
  if (Buffer.concat(segments.map(({ bytes }) => bytes)).toString() === `${LAST_LINE}\n`) return [];
  const time = timeOf(Date.parse(run.finishedAt ?? run.createdAt));
  const why = run.message ?? `The run ended: ${run.reason ?? run.status}.`;
  return [`${time}\tERROR\t[job] ${plain(why)}`, `${time}\tINFO\t[job] ${LAST_LINE}`];
}

function formatLine({ channel, timeMs, text }: RawLine): string[] {
  const { level, message } = channel === "job" ? ofJob(plain(text)) : ofDbt(plain(text), channel);
  return message === "" ? [] : [`${timeOf(timeMs)}\t${level}\t${message}`];
}

function ofJob(text: string): { level: string; message: string } {
  const level = text.startsWith("warning: ") ? "WARN" : "INFO";
  return { level, message: text === "" ? "" : `[job] ${text}` };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
const COLOURS = /\u001b\[[0-9;]*m/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
const TIME = /^(?:\u001b\[0?m)*\d\d:\d\d:\d\d(\.\d+)?( +|$)/;

function ofDbt(text: string, channel: LogChannel): { level: string; message: string } {
  const json = text.startsWith("{") ? jsonLevel(text) : undefined;
  if (json !== undefined) return { level: json, message: text };
  const message = text.replace(TIME, "").trim();
  const bare = message.replace(COLOURS, "").trim();
  // A line with nothing behind its time is dbt's way to leave some space.
  return { level: channel === "err" ? "ERROR" : levelOf(bare), message: bare === "" ? "" : `[dbt] ${message}` };
}

/** By dbt's own words; its text tells no level. */
function levelOf(text: string): string {
  if (/^\[?debug\b/i.test(text)) return "DEBUG";
  if (/^(Done\.|Completed successfully)/.test(text)) return "INFO";
  if (/\b(ERROR|FAIL)\b(?! ?=)|Encountered an error|^\S+ Error\b|^(Failure|Runtime|Compilation|Database) /.test(text)) {
    return "ERROR";
  }
  if (/\[WARNING\]|\bWARN\b(?! ?=)|^Warning\b/.test(text)) return "WARN";
  return "INFO";
}

function jsonLevel(text: string): string | undefined {
  try {
    const { info } = JSON.parse(text) as { info?: { level?: unknown } };
    const level = String(info?.level).toUpperCase();
    return ["DEBUG", "INFO", "WARN", "ERROR"].includes(level) ? level : undefined;
  } catch {
    return undefined;
  }
}

/** Without what would be taken for another field, or another line. */
function plain(text: string): string {
  return text
    .replaceAll("\t", "    ")
    .replace(/[\r\n]+/g, "  ")
    .trimEnd();
}

function timeOf(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19)}Z`;
}
