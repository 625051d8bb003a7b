/** A dbt that runs, whoever started it: its streams to their ends, how it ended, and its signals. */
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import type { DbtExit, DbtProcess } from "./port.ts";
import { relay } from "./relay.ts";

/** Once dbt is gone, how long a silent process that it left behind may hold its streams open. */
const LEFTOVER_MS = 2_000;

export interface StartedDbt {
  /** Of a process that leads a group of its own. */
  readonly pid: number;
  readonly exited: Promise<DbtExit>;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly events: Readable;
}

/** What the port promises, of a dbt that has just been started. */
export function dbtProcess({ pid, exited, ...started }: StartedDbt): DbtProcess {
  let gone = false;
  void exited.then(() => {
    gone = true;
  });
  const relayed = (stream: Readable): Readable => relay(stream, exited, LEFTOVER_MS);
  const [stdout, stderr, events] = [relayed(started.stdout), relayed(started.stderr), relayed(started.events)];
  const ended = Promise.allSettled([stdout, stderr, events].map((stream) => finished(stream)));
  return {
    ...{ pid, stdout, stderr, events },
    exit: Promise.all([exited, ended]).then(([exit]) => exit),
    signal(signal) {
      if (gone) return false;
      try {
        // To the whole group, SIGINT too: a terminal's Ctrl-C reaches git and the adapters' own processes as well.
        process.kill(-pid, signal);
        return true;
      } catch {
        return false;
      }
    },
  };
}
