#!/usr/bin/env node
/** dbt-job: executes one run. Started by a dbt-server's executor, which says through the environment which one. */
import { join } from "node:path";
import { keepCompiled } from "../config/compile-cache.ts";
import type { State } from "../state/port.ts";
import type { Stores } from "../state/stores.ts";
import { explain } from "./explain.ts";
import { checkNode, dataDirOf, type JobSettings, parseSettings } from "./settings.ts";
import { assignedEnvironment, isSpare } from "./spare.ts";
import { createStopSwitch, stopOnFailure, stopOnSignal } from "./stopping.ts";

/** 0: the run is at its end, whatever became of dbt, or was not this job's. 1: it could not be brought there. */
async function main(): Promise<0 | 1> {
  checkNode(process.version);
  const own = { ...process.env };
  keepCompiled(own, join(dataDirOf(own), "compiled"));
  const program = loadProgram();
  const env = isSpare(own) ? await spareEnvironment(program) : own;
  const settings = parseSettings(env);
  const stop = createStopSwitch();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stopOnSignal(stop, signal));
  process.on("SIGHUP", () => undefined);
  process.on("uncaughtException", (error) => {
    console.error(error);
    stopOnFailure(stop, explain(error));
  });
  const { createStores, snapshotId, executeRun, createJobEngine } = await program;
  const now = Date.now;
  const state = await openState(settings, env, now);
  try {
    const stores = createStores({ state, now, snapshotId });
    const engine = createJobEngine({ settings, env, cwd: process.cwd() });
    const result = await executeRun({
      ...{ settings, env, state, stores, engine, stop, now },
      readSecret: secretReader(env, now),
      afterDbt: async (finished) => {
        if (!finished.run.options.elementary) return;
        const { createElementaryReporter } = await import("./elementary/report.ts");
        await createElementaryReporter({ artifacts: stores.artifacts, python: settings.python, stop })(finished);
      },
    });
    if (result.kind === "not-ours") console.error(`dbt-job has nothing to do for run ${settings.runId}: ${result.why}`);
    await wakeServer(settings, env, stores);
    return 0;
  } finally {
    await state.close();
  }
}

async function spareEnvironment(program: ReturnType<typeof loadProgram>): Promise<Environment> {
  await program;
  await (await import("./rehearse.ts")).rehearse();
  return assignedEnvironment();
}

/** All that every run needs. */
async function loadProgram() {
  const [{ createStores }, { snapshotId }, { executeRun }, { createJobEngine }] = await Promise.all([
    import("../state/stores.ts"),
    import("../snapshot/entry.ts"),
    import("./execute-run.ts"),
    import("./job-engine.ts"),
    // Most have their State there; it is no loss where it is elsewhere.
    import("../state/local/open.ts"),
  ]);
  return { createStores, snapshotId, executeRun, createJobEngine };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Only what is used is loaded. */
async function openState({ google, dataDir }: JobSettings, env: Environment, now: () => number): Promise<State> {
  if (google === undefined) return (await import("../state/local/open.ts")).openLocalState({ dataDir, now });
  const [{ connectGcp }, { openGcpState }, { STATE_PATIENCE }] = await Promise.all([
    import("../gcp/connect.ts"),
    import("../state/gcp/open.ts"),
    import("./pace.ts"),
  ]);
  const home = env["HOME"] ?? "/";
  return openGcpState({ ...(await connectGcp({ ...google, env, home, now, retry: STATE_PATIENCE })), now });
}

/** Connected when a secret is asked for. */
function secretReader(env: Environment, now: () => number): (name: string) => Promise<string> {
  const connect = async () => {
    const { connectSecretManager } = await import("../gcp/secret-manager.ts");
    return connectSecretManager({ projectId: env["PROJECT_ID"], env, home: env["HOME"] ?? "/", now });
  };
  let connected: ReturnType<typeof connect> | undefined;
  return async (name) => {
    connected ??= connect();
    return (await connected)(name);
  };
}

/** Runs of others may have waited for this one. */
async function wakeServer({ google, wakeUrl }: JobSettings, env: Environment, stores: Stores): Promise<void> {
  if (google === undefined) return;
  const [{ wakeServer: wake }, { metadataIdToken }] = await Promise.all([
    import("./wake.ts"),
    import("../gcp/metadata-identity.ts"),
  ]);
  const own = env["DBT_SERVER_TOKEN"];
  const token = async (audience: string): Promise<string> =>
    own === undefined || own === "" ? metadataIdToken({ env, audience }) : own;
  const problem = await wake({ stores, url: wakeUrl, token });
  if (problem !== undefined) console.error(`dbt-job: ${problem}`);
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
