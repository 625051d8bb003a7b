/**
 * Ships one stream of a run to State: the first bytes at once, what comes thick and fast in small batches. Its memory is
 * bounded: `write` resolves when there is room again, so that a slow writer slows dbt down instead of losing a line.
 */
import { AppError } from "../core/errors.ts";
import { createScrubber, type Scrubber } from "../core/scrub.ts";
import type { LogChannel, LogSeal, LogSegment, LogWriter } from "../state/port.ts";

/** Shortest pause between two appends, which the writer may want longer; a lone line never waits. */
const BATCH_MS = 15;
/** So much does not wait for the writer's pause to end. */
const SHIP_BYTES = 1024 * 1024;
/** What may wait to be written before `write` blocks. */
const QUEUE_BYTES = 4 * 1024 * 1024;
const RETRY_MS = 10_000;

export interface JobLog {
  /** Bytes of dbt. Never rejects: after a failure they are dropped, so that dbt can still come to its end. */
  write(channel: LogChannel, bytes: Uint8Array): Promise<void>;
  /** Lines of the job itself. */
  say(text: string): void;
  /** Passes on what the scrubbers held back, and resolves when all is in State (or the stream was given up). */
  flush(): Promise<void>;
  /** Offset behind the last byte in State. */
  readonly offset: number;
  /** Why the stream was given up. */
  readonly failure: AppError | undefined;
  /** Ends the stream; undefined where it was given up. */
  seal(): Promise<LogSeal | undefined>;
  /** Lets go of the stream without ending it. */
  close(): Promise<void>;
}

export interface JobLogParams {
  readonly writer: LogWriter;
  readonly secrets: readonly string[];
  readonly now: () => number;
  /** Called once, when the stream is given up. */
  readonly onFailure: (failure: AppError) => void;
  /** How long a writer that fails is tried again before the stream is given up. Default: 10 s. */
  readonly retryMs?: number;
}

export function createJobLog({ writer, secrets, now, onFailure, retryMs = RETRY_MS }: JobLogParams): JobLog {
  const scrubbers = new Map<LogChannel, Scrubber>();
  const scrubberOf = (channel: LogChannel): Scrubber => {
    const found = scrubbers.get(channel) ?? createScrubber(secrets);
    scrubbers.set(channel, found);
    return found;
  };
  let queue: { channel: LogChannel; timeMs: number; parts: Uint8Array[] }[] = [];
  let queuedBytes = 0;
  let failure: AppError | undefined;
  let shipping: Promise<void> | undefined;
  let isUrgent = false;
  let hurry: (() => void) | undefined;
  let waiters: (() => void)[] = [];

  const wake = (): void => {
    const woken = waiters;
    waiters = [];
    for (const resume of woken) resume();
  };

  function enqueue(channel: LogChannel, bytes: Buffer): void {
    if (bytes.length === 0 || failure !== undefined) return;
    const last = queue.at(-1);
    if (last?.channel === channel) last.parts.push(bytes);
    else queue.push({ channel, timeMs: now(), parts: [bytes] });
    queuedBytes += bytes.length;
    if (queuedBytes >= SHIP_BYTES) hurry?.();
    shipping ??= ship().finally(() => {
      shipping = undefined;
      wake();
    });
  }

  async function ship(): Promise<void> {
    // What else this turn of the event loop brings belongs to the first batch.
    await Promise.resolve();
    while (queue.length > 0 && failure === undefined) {
      const batch = queue.map(({ channel, timeMs, parts }) => ({ channel, timeMs, bytes: Buffer.concat(parts) }));
      queue = [];
      queuedBytes = 0;
      wake();
      await append(batch);
      await pause();
    }
  }

  /** Until the next batch may go. Nothing is queued meanwhile: the next line finds the way free. */
  async function pause(): Promise<void> {
    if (isUrgent || queuedBytes >= SHIP_BYTES) return;
    let timer: NodeJS.Timeout | undefined;
    const isDue = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, BATCH_MS);
    }).then(() => writer.due());
    const isHurried = new Promise<void>((resolve) => {
      hurry = resolve;
    });
    await Promise.race([isDue, isHurried]);
    clearTimeout(timer);
  }

  async function append(batch: readonly LogSegment[]): Promise<void> {
    const giveUpAtMs = performance.now() + retryMs;
    let left = batch;
    for (let attempt = 1; left.length > 0; attempt += 1) {
      const from = writer.offset;
      try {
        await writer.append(left);
        return;
      } catch (cause) {
        left = without(left, writer.offset - from);
        if (performance.now() >= giveUpAtMs) {
          failure = asAppError(cause);
          queue = [];
          queuedBytes = 0;
          onFailure(failure);
          return;
        }
        await new Promise((resume) => setTimeout(resume, Math.min(50 * attempt, 1000)));
      }
    }
  }

  async function flush(): Promise<void> {
    for (const [channel, scrubber] of scrubbers) enqueue(channel, scrubber.flush());
    isUrgent = true;
    hurry?.();
    while (shipping !== undefined) await shipping;
    isUrgent = false;
  }

  return {
    async write(channel, bytes) {
      // A copy: the chunk's memory is the stream's, and waits in the queue.
      enqueue(channel, Buffer.from(scrubberOf(channel).push(bytes)));
      while (queuedBytes > QUEUE_BYTES) await new Promise<void>((resume) => waiters.push(resume));
    },
    say(text) {
      enqueue("job", Buffer.from(scrubberOf("job").scrubText(text.endsWith("\n") ? text : `${text}\n`)));
    },
    flush,
    get offset() {
      return writer.offset;
    },
    get failure() {
      return failure;
    },
    async seal() {
      await flush();
      if (failure === undefined) return writer.seal();
      await writer.close().catch(() => undefined);
      return undefined;
    },
    async close() {
      await flush();
      await writer.close();
    },
  };
}

/** The segments behind their first `count` bytes. */
function without(segments: readonly LogSegment[], count: number): LogSegment[] {
  let skip = count;
  const left: LogSegment[] = [];
  for (const segment of segments) {
    if (segment.bytes.length > skip) left.push({ ...segment, bytes: segment.bytes.subarray(skip) });
    skip = Math.max(0, skip - segment.bytes.length);
  }
  return left;
}

function asAppError(cause: unknown): AppError {
  if (cause instanceof AppError) return cause;
  return new AppError("state_unavailable", cause instanceof Error ? cause.message : String(cause), { cause });
}
