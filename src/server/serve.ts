/** The server as a process: its folder, its port, its registration, its signals. */
import { tmpdir } from "node:os";
import { extname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { AppError } from "../core/errors.ts";
import { createLocalExecutor, jobOutputPath } from "../executors/local.ts";
import { findLocalEngine, jobEnvironment, type LocalEngine } from "../executors/local-engine.ts";
import { createWarmParents, type WarmParents } from "../executors/warm-parents.ts";
import { snapshotId } from "../snapshot/entry.ts";
import { lockDataDir } from "../state/local/lock.ts";
import { openLocalState } from "../state/local/open.ts";
import { createStores } from "../state/stores.ts";
import { createAuth } from "./auth.ts";
import { keepHouse } from "./housekeeping.ts";
import { createJournal, type Journal } from "./journal.ts";
import { listen } from "./listen.ts";
import type { ServerSettings } from "./options.ts";
import { register, registrationFolder, registrationToken } from "./registration.ts";
import { createService } from "./service.ts";
import { clearRoot, warehousePath } from "./workspaces.ts";

export interface ServeParams {
  readonly settings: ServerSettings;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly cwd: string;
  readonly home: string;
}

const HOUR_MS = 60 * 60 * 1000;
/** An upload that does not end must not keep the server. */
const LONGEST_STOP_MS = 10_000;
const FIRST_SWEEP_MS = 60_000;

/** Resolves when the server listens; the process then ends by a signal. */
export async function serve({ settings, env, version, cwd, home }: ServeParams): Promise<void> {
  const { dataDir, retentionMs } = settings;
  const journal = createJournal();
  const lock = lockDataDir(dataDir, process.pid);
  const now = Date.now;
  const state = await openLocalState({ dataDir, now });
  const stores = createStores({ state, now, snapshotId });
  const engine = engineFinder({ settings, env, cwd });
  const registrations = registrationFolder(stateHome(env, home));
  const token = settings.auth === "token" ? settings.token : registrationToken(registrations, settings.port, dataDir);
  const warm = settings.warm ? warmParents(settings, env, journal) : undefined;
  const executor = createLocalExecutor({
    nodePath: process.execPath,
    jobPath: join(import.meta.dirname, "..", "job", `main${extname(fileURLToPath(import.meta.url))}`),
    dataDir,
    env: async () => jobEnvironment(env, settings.jobEnv, jobSettings(settings, await engine(), warm)),
  });
  let port = settings.port;
  const service = await createService({
    ...{ state, stores, executor, settings, version, engine, now },
    auth: createAuth(settings.auth, settings.auth === "none" ? null : (token ?? null)),
    port: () => port,
    serverEnv: jobEnvironment(env, settings.jobEnv, {}),
    jobOutput: (runId) => jobOutputPath(dataDir, runId),
    warehousePath: (run) => warehousePath(dataDir, run),
    clearRoot: (run, root) => clearRoot(dataDir, run, root),
    onError: journal.failure,
    warm: async () => (await warm?.states()) ?? [],
  });

  let unregister = (): void => {};
  const stopTimers: (() => void)[] = [];
  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    // Asked for twice: at once. Jobs are in sessions of their own either way.
    if (stopping) process.exit(1);
    stopping = true;
    journal.say(`${signal}: stopping; runs that have begun go on`);
    for (const stopTimer of stopTimers) stopTimer();
    unregister();
    setTimeout(() => process.exit(1), LONGEST_STOP_MS).unref();
    warm?.close();
    await service.stop().catch(journal.failure);
    await state.close();
    lock.release();
    process.exit(0);
  };
  process.on("exit", () => unregister());
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop(signal));

  const listening = await listen(service.app, settings.host, settings.port);
  port = listening.port;
  if (settings.auth === "local" && token !== undefined) {
    unregister = register(registrations, port, { url: listening.url, token, pid: process.pid, version, dataDir });
  }
  lock.describe(listening.url);
  journal.greet({ version, url: listening.url, settings });
  await service.start();

  const found = await engine().catch((error: unknown) => {
    journal.failure(error);
    journal.say("Runs are refused until there is one; it is looked for at each.");
  });
  // Behind the start: who asks meanwhile is answered, and a run that comes waits for it no longer than for a dbt of its own.
  if (found) warm?.at(found.python);
  if (found) journal.say(`dbt ${found.version} with ${found.adapters.join(", ") || "no adapter"} (${found.python})`);

  const sweep = (): void => {
    keepHouse({ state, runs: stores.runs, dataDir, retentionMs, now, dryRun: false }).catch(journal.failure);
  };
  const first = setTimeout(sweep, FIRST_SWEEP_MS);
  const hourly = setInterval(sweep, HOUR_MS);
  stopTimers.push(
    () => clearTimeout(first),
    () => clearInterval(hourly),
  );
}

/** Looks for dbt once; where it was not there, again each time somebody asks. */
function engineFinder({
  settings,
  env,
  cwd,
}: Pick<ServeParams, "settings" | "env" | "cwd">): () => Promise<LocalEngine> {
  let search: Promise<LocalEngine> | undefined;
  return () => {
    search ??= findLocalEngine({ python: settings.python, env, cwd, jobEnv: settings.jobEnv }).catch(
      (error: unknown) => {
        search = undefined;
        throw error;
      },
    );
    return search;
  };
}

function warmParents(settings: ServerSettings, env: ServeParams["env"], journal: Journal): WarmParents {
  return createWarmParents({
    env: jobEnvironment(env, settings.jobEnv, {}),
    tempFolder: tmpdir(),
    projects: settings.warmProjects,
    memoryBytes: settings.warmMemoryBytes,
    idleMs: settings.warmIdleMs,
    debug: (text) => settings.debug && journal.say(text),
  });
}

/** What dbt-job reads of its environment. */
function jobSettings(
  settings: ServerSettings,
  engine: LocalEngine,
  warm: WarmParents | undefined,
): Record<string, string> {
  const place = warm?.at(engine.python);
  return {
    ...(place && { DBT_JOB_WARM_SOCKET: place.socketPath, DBT_JOB_WARM_ANSWER_MS: String(place.answerMs) }),
    ...(settings.debug && { DBT_JOB_DEBUG: "1" }),
    DBT_SERVER_DATA_DIR: settings.dataDir,
    DBT_SERVER_STATE: settings.state,
    DBT_SERVER_PYTHON: engine.python,
    DBT_SERVER_JOB_ENV: settings.jobEnv.join(","),
    ...(settings.profilesDir !== undefined && { DBT_SERVER_PROFILES_DIR: settings.profilesDir }),
  };
}

function stateHome(env: Readonly<Record<string, string | undefined>>, home: string): string {
  const xdg = env["XDG_STATE_HOME"];
  if (xdg !== undefined && isAbsolute(xdg)) return xdg;
  if (!isAbsolute(home))
    throw new AppError("data_folder", `HOME is ${JSON.stringify(home)}, which is no absolute path.`);
  return join(home, ".local", "state");
}
