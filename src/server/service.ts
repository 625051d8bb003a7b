/** The server's parts wired together over a State and an executor, apart from process, ports and folders. */
import { randomUUID } from "node:crypto";
import type { MetricsAnswer, ServerAnswer } from "../api/schemas/server.ts";
import { AppError } from "../core/errors.ts";
import { isTerminal, type Run } from "../core/run.ts";
import type { Executor } from "../executors/port.ts";
import { CANCELLATIONS } from "../state/cancellations.ts";
import type { WorkspaceRoot } from "../state/leases.ts";
import type { State } from "../state/port.ts";
import type { Stores } from "../state/stores.ts";
import { createAheadLaunches } from "./ahead-launches.ts";
import { createApp } from "./app.ts";
import type { Auth } from "./auth.ts";
import { createDispatcher } from "./dispatcher.ts";
import { createLaunches } from "./launches.ts";
import { createLogHub, type FollowedRuns } from "./log/hub.ts";
import type { ServerSettings } from "./options.ts";
import { createReaper, PATIENCE, type Patience } from "./reaper.ts";
import { createReconciler, type Reconcile } from "./reconcile.ts";
import { createRunRequests, type RunRequestsParams } from "./requests/run-requests.ts";
import type { App, AppContext } from "./routes/context.ts";
import { createRunEndings } from "./run-endings.ts";
import { createRunViews } from "./run-views.ts";

/** The dbt that runs will use. */
export interface ServerEngine {
  readonly version: string;
  readonly adapters: readonly string[];
  requireAdapter(type: string): void;
  /** What `dbt --version` prints; takes seconds. */
  versionText(): Promise<string>;
}

export interface ServiceParams {
  readonly state: State;
  readonly stores: Stores;
  readonly executor: Executor;
  readonly auth: Auth;
  readonly settings: Pick<ServerSettings, "state" | "maxRuns" | "runTimeoutMs" | "streamTimeoutMs" | "profilesDir"> &
    Partial<Pick<ServerSettings, "signedDownloads" | "profilesSecret">>;
  readonly version: string;
  /** The port that the server listens on, known once it does. */
  readonly port: () => number;
  /** Rejects with `dbt_not_found`; looks again when asked again. */
  readonly engine: () => Promise<ServerEngine>;
  /** Values of the server's own environment that dbt may see. */
  readonly serverEnv: Readonly<Record<string, string | undefined>>;
  /** Where a job's own output lies. */
  readonly jobOutput: (runId: string) => string;
  /** Removes the secrets that a job which was cut off left in a root. */
  readonly clearRoot: (run: Run, root: WorkspaceRoot) => void;
  readonly warehousePath: (run: Run) => string | null;
  /** The Google Cloud project whose log has entries of runs. */
  readonly logProjectId?: string;
  readonly now: () => number;
  /** Told of what was not expected, and of which request it was. */
  readonly onError: (error: unknown, requestId?: string) => void;
  /** Told of what is asked of a run, and by which request. */
  readonly onRun?: AppContext["onRun"];
  readonly patience?: Partial<Patience>;
  /** False where other servers may use the same State. Default: true. */
  readonly isAlone?: boolean;
  /** How often it looks after all runs by itself, though nothing was told. Default: 1 s. */
  readonly tickMs?: number;
  readonly checkJob?: RunRequestsParams["checkJob"];
  /** What is asked of the jobs' dbt, where that is another than `engine`. */
  readonly requiredEngine?: RunRequestsParams["engine"];
  /** Processes that have loaded dbt. */
  readonly warm?: () => Promise<MetricsAnswer["warm"]>;
}

export interface Service {
  readonly app: App;
  /** How many readers follow a log now. */
  followers(): number;
  /** Takes up what a former server left, and goes on watching. */
  start(): Promise<void>;
  /** Ends streams for their readers to resume, and launches nothing more. Jobs go on. */
  stop(): Promise<void>;
}

const TICK_MS = 1000;
/** Written down this often, and several times within the time after which a run would be cancelled. */
const SEEN_EVERY_MS = 2000;
const SEEN_WITHIN = 4;
/** How soon who follows a run hears that its job is gone. */
const FOLLOWED_MS = 5000;

export async function createService(params: ServiceParams): Promise<Service> {
  const { state, stores, executor, settings, now } = params;
  const { runs, cancellations, followers } = stores;
  const onError = (error: unknown): void => params.onError(error);
  let draining = false;

  const serverId = randomUUID();
  const launches = createLaunches({
    ...{ records: state.records, executions: stores.executions, serverId },
    isAlone: params.isAlone ?? true,
    now,
  });
  const patience = { ...PATIENCE, ...params.patience };
  const endings = createRunEndings({ state, stores, launches, clearRoot: params.clearRoot });
  const dispatcher = createDispatcher({
    ...{ stores, executor, launches, endings, maxRuns: settings.maxRuns, onError },
    isAlone: params.isAlone ?? true,
    launchLeaseMs: 2 * patience.claimMs,
  });
  const reaper = createReaper({
    ...{ stores, executor, launches, endings, now, onError },
    isAlone: params.isAlone ?? true,
    jobOutput: params.jobOutput,
    patience,
  });
  const view = createRunViews({
    ...{ cancellations, launches },
    waitingFor: dispatcher.waitingFor,
    warehousePath: params.warehousePath,
    logProjectId: params.logProjectId ?? null,
  });
  // One that is alone has looked a moment ago, or was told.
  const reconciled: Reconcile =
    params.isAlone === false
      ? createReconciler({ reaper, runs, dispatch: dispatcher.dispatch, now })
      : async (run) => run;
  const remember = rememberFollowers(followers.seen, now, onError);
  const followedRuns: FollowedRuns = {
    get: runs.get,
    view,
    watch(runId, onChange) {
      const stops = [
        runs.watch(runId, onChange),
        cancellations.watch(runId, onChange),
        dispatcher.watchWaiting(runId, onChange),
      ];
      return () => {
        for (const stop of stops) stop();
      };
    },
    followed(run) {
      remember(run);
      reconciled(run, FOLLOWED_MS).catch(onError);
    },
  };
  const hub = createLogHub({
    logs: state.logs,
    runs: followedRuns,
    streamTimeoutMs: settings.streamTimeoutMs,
    onError,
  });

  const ahead = createAheadLaunches({
    ...{ records: state.records, executor, runs, serverId, now, onError },
    ...{ wouldWaitFor: dispatcher.wouldWaitFor, dispatch: dispatcher.dispatch, maxRuns: settings.maxRuns },
  });

  const createRun = createRunRequests({
    ...{ state, stores },
    engine: async () => {
      if (draining)
        throw new AppError("server_draining", "The server is going down.", { hint: "Try again in a moment" });
      return (params.requiredEngine ?? params.engine)();
    },
    profilesDir: settings.profilesDir,
    profilesSecret: settings.profilesSecret,
    serverEnv: params.serverEnv,
    runTimeoutMs: settings.runTimeoutMs,
    newId: randomUUID,
    wouldWaitFor: dispatcher.wouldWaitFor,
    dispatch: dispatcher.dispatch,
    ahead,
    ...(params.checkJob !== undefined && { checkJob: params.checkJob }),
  });

  const look = async (): Promise<void> => {
    await reaper.reap();
    await dispatcher.dispatch();
  };

  const app = await createApp({
    ...{ auth: params.auth, version: params.version, port: params.port },
    ...{ state, stores, hub, followedRuns, view, createRun, reconciled, reconcile: look },
    describe: describeWith(params),
    metrics: async () => ({
      rssBytes: process.memoryUsage.rss(),
      followers: hub.size,
      warm: (await params.warm?.()) ?? [],
    }),
    async cancel(run, by, reason) {
      await cancellations.request(run.id, by.label, reason);
      // A run that has not begun has no job to obey. The others' jobs hear of it, whatever the executor says.
      const looking = look();
      if (run.status === "pending") await looking;
    },
    signedDownloads: settings.signedDownloads === true,
    onError: params.onError,
    onRun: params.onRun ?? (() => undefined),
  });

  const stops: (() => void)[] = [];

  return {
    app,
    followers: () => hub.size,
    async start() {
      executor.onExit(() => void look());
      stops.push(runs.watchAll(() => void look()));
      stops.push(state.records.watchAll(CANCELLATIONS, () => void look()));
      const tick = setInterval(() => void look(), params.tickMs ?? TICK_MS);
      stops.push(() => clearInterval(tick));
      await look();
    },
    async stop() {
      draining = true;
      for (const stop of stops.splice(0)) stop();
      hub.close();
      await app.close();
      await ahead.close();
      await dispatcher.close();
      await reaper.reap();
      await executor.close();
    },
  };
}

/** Writes down that somebody follows a run, where that matters, and not too often. */
function rememberFollowers(
  seen: (runId: string) => Promise<void>,
  now: () => number,
  onError: (error: unknown) => void,
): (run: Run) => void {
  const lastMs = new Map<string, number>();
  return (run) => {
    const limitMs = run.options.cancelOnDisconnectMs;
    if (limitMs === null || isTerminal(run.status)) {
      lastMs.delete(run.id);
      return;
    }
    if (now() - (lastMs.get(run.id) ?? 0) < Math.min(SEEN_EVERY_MS, limitMs / SEEN_WITHIN)) return;
    if (lastMs.size > 10_000) lastMs.clear();
    lastMs.set(run.id, now());
    seen(run.id).catch(onError);
  };
}

/** Asks dbt for its own words only where somebody wants them, and once. */
function describeWith(params: ServiceParams): (withVersionText: boolean) => Promise<ServerAnswer> {
  const { settings, auth, executor, version } = params;
  const texts = new WeakMap<ServerEngine, Promise<string | null>>();
  const textOf = (engine: ServerEngine): Promise<string | null> => {
    const found = texts.get(engine) ?? engine.versionText().catch(() => null);
    texts.set(engine, found);
    return found;
  };
  return async (withVersionText) => {
    const engine = await params.engine().catch(() => undefined);
    const dbt = engine && {
      version: engine.version,
      adapters: [...engine.adapters],
      versionText: withVersionText ? await textOf(engine) : null,
    };
    return {
      ...{ version, state: settings.state, executor: executor.kind, auth: auth.kind, dbt: dbt ?? null },
      profiles: (settings.profilesDir ?? settings.profilesSecret) === undefined ? "client" : "server",
    };
  };
}
