/** Writes the newest of values that grow, at most once a second: the first at once, the last for certain. */
export interface Publisher {
  publish(value: number): void;
  /** Resolves when nothing is being written any more; what was not written yet is left out. */
  stop(): Promise<void>;
}

/** With the last one, which does not wait, never more than ten in ten seconds. */
const PAUSE_MS = 1_150;

/** `write` may fail: then the next value makes up for it. */
export function createPublisher(write: (value: number) => Promise<void>): Publisher {
  let wanted = 0;
  let written = 0;
  let isOver = false;
  let running: Promise<void> | undefined;
  let endPause = (): void => undefined;

  async function run(): Promise<void> {
    while (wanted > written && !isOver) {
      const value = wanted;
      const startedAtMs = performance.now();
      await write(value).then(
        () => {
          written = value;
        },
        () => undefined,
      );
      const leftMs = startedAtMs + PAUSE_MS - performance.now();
      if (!isOver && leftMs > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, leftMs);
          endPause = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    }
  }

  return {
    publish(value) {
      wanted = Math.max(wanted, value);
      running ??= run().finally(() => {
        running = undefined;
      });
    },
    async stop() {
      isOver = true;
      endPause();
      await running;
    },
  };
}
