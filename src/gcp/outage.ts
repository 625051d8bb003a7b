/** Notices that a service which was out of reach is back, sooner than its client does, which waits ever longer between attempts. */

export interface OutageWatch {
  /** To be told of each attempt that failed in a way that may pass. */
  failed(): void;
  /** Calls back each time the service answers again. Returns how to end that. */
  onRecovered(callback: () => void): () => void;
  close(): void;
}

const PROBE_EVERY_MS = 500;
/** A client may go on trying behind a probe. */
const PROBES_AT_ONCE = 8;

/** `probe` asks for something that costs next to nothing, and rejects where there is no answer. */
export function createOutageWatch(probe: () => Promise<unknown>): OutageWatch {
  const callbacks = new Set<() => void>();
  let timer: NodeJS.Timeout | undefined;
  let underWay = 0;

  function ask(): void {
    if (underWay >= PROBES_AT_ONCE) return;
    underWay += 1;
    const asking = timer;
    probe()
      .then(
        () => {
          // Probes of an outage that is over by now tell nothing.
          if (asking === undefined || asking !== timer) return;
          end();
          for (const callback of [...callbacks]) callback();
        },
        () => undefined,
      )
      .finally(() => {
        underWay -= 1;
      });
  }

  function end(): void {
    clearInterval(timer);
    timer = undefined;
  }

  return {
    failed() {
      if (timer !== undefined || callbacks.size === 0) return;
      timer = setInterval(ask, PROBE_EVERY_MS);
      timer.unref();
    },
    onRecovered(callback) {
      callbacks.add(callback);
      return () => void callbacks.delete(callback);
    },
    close() {
      end();
      callbacks.clear();
    },
  };
}
