/** An error as people read it. Pure. */
import { AppError } from "../core/errors.ts";

/** Message and next step; of an unexpected error its stack, which only the job's own output and log get to see. */
export function explain(error: unknown): string {
  if (error instanceof AppError) return error.hint === undefined ? error.message : `${error.message} ${error.hint}`;
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return `No space is left on the disk (${error.message}). Free some space, then run the same command again.`;
  }
  return `The job failed: ${error.message}`;
}
