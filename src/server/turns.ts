/** Work that is asked for by many and done by one: a request that comes meanwhile makes it begin once more. */

/** Resolves when all that was asked for up to now is done. `work` has to deal with its own errors. */
export function inTurns(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let wanted = false;
  const run = async (): Promise<void> => {
    try {
      while (wanted) {
        wanted = false;
        await work();
      }
    } finally {
      running = undefined;
    }
  };
  return () => {
    wanted = true;
    running ??= run();
    return running;
  };
}
