/** State may be out of reach for a moment; what is never written down would make the run a lost one. */
import { AppError } from "../core/errors.ts";
import { LOCAL_PACE } from "./pace.ts";

/** Tries again for as long as the pace says; throws the last error. */
export async function insist(action: () => Promise<void>, insistMs: number = LOCAL_PACE.insistMs): Promise<void> {
  const giveUpAtMs = performance.now() + insistMs;
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
