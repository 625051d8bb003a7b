#!/usr/bin/env node
/** dbt-job: executes one run. Started by a dbt-server's executor, which says through the environment which one. */
import module from "node:module";
import { join } from "node:path";
import { explain } from "./explain.ts";
import { checkNode, parseSettings } from "./settings.ts";
import { createStopSwitch, stopOnFailure, stopOnSignal } from "./stopping.ts";

/** 0: the run is at its end, whatever became of dbt, or was not this job's. 1: it could not be brought there. */
async function main(): Promise<0 | 1> {
  checkNode(process.version);
  const env = { ...process.env };
  const settings = parseSettings(env);
  // Beside State, where nobody else may write: what is compiled there is run.
  module.enableCompileCache(join(settings.dataDir, "compiled"));
  const stop = createStopSwitch();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stopOnSignal(stop, signal));
  process.on("SIGHUP", () => undefined);
  process.on("uncaughtException", (error) => {
    console.error(error);
    stopOnFailure(stop, explain(error));
  });
  const [{ openLocalState }, { createStores }, { snapshotId }, { executeRun }, { createJobEngine }] = await Promise.all(
    [
      import("../state/local/open.ts"),
      import("../state/stores.ts"),
      import("../snapshot/entry.ts"),
      import("./execute-run.ts"),
      import("./job-engine.ts"),
    ],
  );
  const now = Date.now;
  const state = await openLocalState({ dataDir: settings.dataDir, now });
  try {
    const stores = createStores({ state, now, snapshotId });
    const engine = createJobEngine({ settings, env, cwd: process.cwd() });
    const result = await executeRun({ settings, env, state, stores, engine, stop, now });
    if (result.kind === "not-ours") console.error(`dbt-job has nothing to do for run ${settings.runId}: ${result.why}`);
    return 0;
  } finally {
    await state.close();
  }
}

// Whoever the output goes to may be gone.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(`dbt-job: ${explain(error)}`);
    process.exit(1);
  },
);
