/** Stops a running dbt, gently first: only SIGINT lets it cancel its queries and write run_results.json. */
import type { DbtExit, DbtProcess } from "./port.ts";

const STEPS = ["SIGINT", "SIGTERM", "SIGKILL"] as const;

export interface StopOptions {
  /** How long dbt has after SIGINT to cancel its queries and end by itself. */
  readonly graceMs: number;
  /** How long it has after SIGTERM. */
  readonly termMs: number;
}

export interface StopOutcome {
  /** The last signal that was sent; `none` where dbt was gone already. */
  readonly step: (typeof STEPS)[number] | "none";
  readonly exit: DbtExit;
}

/** SIGINT, after `graceMs` SIGTERM, after `termMs` more SIGKILL. Resolves when dbt has ended; never rejects. */
export async function stopDbt(dbt: Pick<DbtProcess, "exit" | "signal">, options: StopOptions): Promise<StopOutcome> {
  let step: StopOutcome["step"] = "none";
  for (const signal of STEPS) {
    // Gone already: only its streams are still being read.
    if (!dbt.signal(signal)) break;
    step = signal;
    if (signal === "SIGKILL") break;
    if (await endsWithin(dbt.exit, signal === "SIGINT" ? options.graceMs : options.termMs)) break;
  }
  return { step, exit: await dbt.exit };
}

async function endsWithin(exit: Promise<DbtExit>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((done) => {
    timer = setTimeout(() => done(false), ms);
  });
  const ended = await Promise.race([exit.then(() => true), timeout]);
  clearTimeout(timer);
  return ended;
}
