/** State may be out of reach for a moment; what is never written down would make the run a lost one. */
import { AppError } from "../core/errors.ts";

const INSIST_MS = 30_000;

/** Tries again for half a minute; throws the last error. */
export async function insist(action: () => Promise<void>): Promise<void> {
  const giveUpAtMs = performance.now() + INSIST_MS;
  for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 2_000)) {
    try {
      await action();
      return;
    } catch (error) {
      if (performance.now() >= giveUpAtMs || (error instanceof AppError && error.code === "run_not_found")) throw error;
      await new Promise((resume) => setTimeout(resume, pauseMs));
    }
  }
}
