/** The server as a process: its port, its registration, its signals. */
import { isAbsolute, join } from "node:path";
import { AppError } from "../core/errors.ts";
import { findLocalEngine, jobEnvironment, type LocalEngine } from "../executors/local-engine.ts";
import { type BackendParams, openBackend } from "./backend.ts";
import { keepHouse } from "./housekeeping.ts";
import { createJournal } from "./journal.ts";
import { listen } from "./listen.ts";
import { openAuth } from "./open-auth.ts";
import type { ServerSettings } from "./options.ts";
import { register, registrationFolder, registrationToken } from "./registration.ts";
import { createService } from "./service.ts";

export interface ServeParams {
  readonly settings: ServerSettings;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly cwd: string;
  readonly home: string;
  readonly google: BackendParams["google"];
}

const HOUR_MS = 60 * 60 * 1000;
/** An upload that does not end must not keep the server. */
const LONGEST_STOP_MS = 10_000;
const FIRST_SWEEP_MS = 60_000;
/** Cloud Run kills some ten seconds after its SIGTERM. */
const DRAIN_MS = 8_000;

/** Resolves when the server listens; the process then ends by a signal. */
export async function serve({ settings, env, version, cwd, home, google }: ServeParams): Promise<void> {
  const { dataDir, retentionMs } = settings;
  const secrets = settings.token === undefined ? [] : [settings.token];
  const journal = createJournal({ format: settings.logFormat, env, secrets });
  const now = Date.now;
  const engine = engineFinder({ settings, env, cwd });
  const registrations = registrationFolder(stateHome(env, home));
  const localToken = settings.auth === "local" ? registrationToken(registrations, settings.port, dataDir) : undefined;
  const auth = await openAuth({
    ...{ settings, localToken, env, now, say: journal.say },
    readService: (service) => google.ownService({ env, home, now, service }),
    ...(settings.debug && { debug: journal.say }),
  });
  const backend = await openBackend({ settings, env, home, journal, engine, now, google });
  const { state, stores, executor, warm, drains, sweepIsDue, listening: _, close: __, ...ofService } = backend;
  let port = settings.port;
  const service = await createService({
    ...{ ...ofService, state, stores, executor, settings, version, engine, now },
    auth,
    port: () => port,
    serverEnv: jobEnvironment(env, settings.jobEnv, {}),
    onError: journal.failure,
    onRun: journal.run,
    warm: async () => (await warm?.states()) ?? [],
    ...(settings.google?.jobs !== undefined && { logProjectId: settings.google.projectId }),
  });

  let unregister = (): void => {};
  const stopTimers: (() => void)[] = [];
  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    // Asked for twice: at once. Jobs are in sessions of their own either way.
    if (stopping) process.exit(1);
    stopping = true;
    journal.say(`${signal}: stopping; ${drains ? "runs that go on here are ended" : "runs that have begun go on"}`);
    for (const stopTimer of stopTimers) stopTimer();
    unregister();
    setTimeout(() => process.exit(1), LONGEST_STOP_MS).unref();
    warm?.close();
    await Promise.all([drains && executor.drain?.(DRAIN_MS), service.stop()]).catch(journal.failure);
    await backend.close();
    process.exit(0);
  };
  process.on("exit", () => unregister());
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop(signal));

  const listening = await listen(service.app, settings.host, settings.port);
  port = listening.port;
  if (localToken !== undefined) {
    unregister = register(registrations, port, {
      url: listening.url,
      token: localToken,
      pid: process.pid,
      version,
      dataDir,
    });
  }
  backend.listening(listening.url);
  journal.greet({ version, url: listening.url, settings });
  await service.start();

  const found = await engine().catch((error: unknown) => {
    if (backend.requiredEngine !== undefined) return;
    journal.failure(error);
    journal.say("Runs are refused until there is one; it is looked for at each.");
  });
  // Behind the start: who asks meanwhile is answered, and a run that comes waits for it no longer than for a dbt of its own.
  if (found) warm?.at(found.python);
  if (found) journal.say(`dbt ${found.version} with ${found.adapters.join(", ") || "no adapter"} (${found.python})`);

  const sweep = async (): Promise<void> => {
    if (await sweepIsDue()) await keepHouse({ state, runs: stores.runs, dataDir, retentionMs, now, dryRun: false });
  };
  const sweepOrSay = (): void => void sweep().catch(journal.failure);
  const first = setTimeout(sweepOrSay, FIRST_SWEEP_MS);
  const hourly = setInterval(sweepOrSay, HOUR_MS);
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

function stateHome(env: Readonly<Record<string, string | undefined>>, home: string): string {
  const xdg = env["XDG_STATE_HOME"];
  if (xdg !== undefined && isAbsolute(xdg)) return xdg;
  if (!isAbsolute(home))
    throw new AppError("data_folder", `HOME is ${JSON.stringify(home)}, which is no absolute path.`);
  return join(home, ".local", "state");
}
