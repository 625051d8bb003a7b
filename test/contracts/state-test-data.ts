/** What the parts of the state contract share: names of their own, files, and waiting for a condition. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import { AppError } from "../../src/core/errors.ts";
import type { LogChannel, LogSegment } from "../../src/state/port.ts";

/** A collection that no other test uses. */
export function newCollection(): string {
  return `c-${randomBytes(8).toString("hex")}`;
}

export const newRunId = (): string => randomUUID();

export interface TestFile {
  readonly sha256: string;
  readonly bytes: Buffer;
}

export function newFile(size = 100): TestFile {
  const bytes = randomBytes(size);
  return { sha256: sha256(bytes), bytes };
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export async function bytesOf(stream: Readable | undefined): Promise<Buffer | undefined> {
  if (stream === undefined) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export function segment(text: string, channel: LogChannel = "out", timeMs = 1_700_000_000_000): LogSegment {
  return { channel, timeMs, bytes: Buffer.from(text) };
}

/** Of an error that a test expects. */
export const codeIs = (code: string) => (error: unknown) => error instanceof AppError && error.code === code;

/** Polls until the condition holds; fails after the deadline. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, deadlineMs = 10_000) {
  const end = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${deadlineMs} ms`);
    await pause(5);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
