/** Tries again what failed for a moment, ever more slowly and never in step with others. */
export interface RetryPolicy {
  /** Counted from the first attempt; an attempt under way is let go on. */
  readonly giveUpAfterMs: number;
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
}

/** For what somebody waits for. */
export const PATIENT: RetryPolicy = { giveUpAfterMs: 45_000, firstPauseMs: 100, maxPauseMs: 3_000 };

export interface Attempt {
  /** True once an earlier attempt may have been carried out although its answer never came. */
  readonly isRepeat: boolean;
}

/** Repeats an action while it throws errors that are retryable; throws the last of them. */
export async function withRetries<T>(
  policy: RetryPolicy,
  isRetryable: (error: unknown) => boolean,
  action: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const startedAtMs = performance.now();
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await action({ isRepeat: attempt > 0 });
    } catch (error) {
      const pauseMs = pauseBefore(policy, attempt, error);
      if (!isRetryable(error) || performance.now() + pauseMs - startedAtMs > policy.giveUpAfterMs) throw error;
      await new Promise((resume) => setTimeout(resume, pauseMs));
    }
  }
}

/** Repeats an action while it throws `RetryLater`; throws the cause of the last one. */
export async function untilItPasses<T>(policy: RetryPolicy, action: (attempt: Attempt) => Promise<T>): Promise<T> {
  try {
    return await withRetries(policy, (error) => error instanceof RetryLater, action);
  } catch (error) {
    throw error instanceof RetryLater ? error.cause : error;
  }
}

const PASSING: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Whether another attempt may be answered better than with this HTTP status. */
export function mayPass(status: number): boolean {
  return PASSING.has(status);
}

/** Between half and all of a pause that doubles; what the other side asks for counts where it is longer. */
function pauseBefore({ firstPauseMs, maxPauseMs }: RetryPolicy, attempt: number, error: unknown): number {
  const longest = Math.min(maxPauseMs, firstPauseMs * 2 ** attempt);
  const asked = error instanceof RetryLater ? (error.retryAfterMs ?? 0) : 0;
  return Math.max(longest * (0.5 + Math.random() / 2), Math.min(asked, 30_000));
}

/** A failure that may pass by itself; `cause` is what to report where it does not. */
export class RetryLater extends Error {
  readonly retryAfterMs: number | undefined;

  constructor(cause: unknown, retryAfterMs?: number) {
    super("try again later", { cause });
    this.retryAfterMs = retryAfterMs;
  }
}

/** Why a request failed below HTTP, such as `connect ECONNREFUSED 127.0.0.1:80`. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
