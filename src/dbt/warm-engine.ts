/** The engine that lets a warm parent run dbt: a process that has imported it already, and forks itself for each run. */
import { dbtProcess } from "./dbt-process.ts";
import type { DbtEngine, DbtInvocation, DbtProcess } from "./port.ts";
import { startWarmRun } from "./warm-connection.ts";

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
  const { fallback, debug } = options;
  return {
    version: fallback.version,
    adapters: fallback.adapters,
    async start(invocation) {
      try {
        const dbt = await startWarm(options, invocation);
        debug(`dbt runs warm, as process ${dbt.pid}`);
        return dbt;
      } catch (error) {
        debug(`dbt runs in a new process: ${error instanceof Error ? error.message : String(error)}`);
        return fallback.start(invocation);
      }
    },
  };
}

async function startWarm(options: WarmEngineOptions, invocation: DbtInvocation): Promise<DbtProcess> {
  const { socketPath, answerMs, debug } = options;
  const started = await startWarmRun({
    ...{ socketPath, answerMs, invocation },
    parseState: options.parseState(invocation),
    onHandedOver: () => debug("dbt took the project's manifest from memory"),
  });
  return dbtProcess(started);
}
