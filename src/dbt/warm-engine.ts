/** The engine that lets a warm parent run dbt: a process that has imported it already, and forks itself for each run. */
import { dbtProcess } from "./dbt-process.ts";
import type { DbtEngine, DbtInvocation } from "./port.ts";
import { type AnnouncedRun, announceWarmRun } from "./warm-connection.ts";

export interface WarmEngineOptions {
  /** Where the parent listens. */
  readonly socketPath: string;
  /** How long the parent may take to answer, before another way is taken. */
  readonly answerMs: number;
  /** Starts dbt where the parent cannot. */
  readonly fallback: DbtEngine;
  /** Path of the partial_parse.msgpack that this invocation reads: its manifest is kept in memory. */
  readonly parseState: (invocation: DbtInvocation) => string | null;
  /** Told whether dbt is warm, and if not, why. */
  readonly debug: (text: string) => void;
}

/** dbt as a fork of a warm parent where that works, and as `fallback` starts it where it does not. */
export function createWarmEngine(options: WarmEngineOptions): DbtEngine {
  const { socketPath, answerMs, fallback, debug } = options;
  let announced: AnnouncedRun | undefined;
  const announce = (invocation: DbtInvocation): AnnouncedRun =>
    announceWarmRun({
      socketPath,
      parseState: options.parseState(invocation),
      onHandedOver: () => debug("dbt took the project's manifest from memory"),
    });
  return {
    version: fallback.version,
    adapters: fallback.adapters,
    announce(invocation) {
      try {
        announced ??= announce(invocation);
      } catch {
        // The start will say what is wrong.
      }
    },
    async start(invocation) {
      try {
        const run = announced ?? announce(invocation);
        announced = undefined;
        const dbt = dbtProcess(await run.start(invocation, answerMs));
        debug(`dbt runs warm, as process ${dbt.pid}`);
        return dbt;
      } catch (error) {
        debug(`dbt runs in a new process: ${error instanceof Error ? error.message : String(error)}`);
        return fallback.start(invocation);
      }
    },
  };
}
