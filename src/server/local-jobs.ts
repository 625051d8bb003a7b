/** Jobs as processes of this machine. */
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createLocalExecutor } from "../executors/local.ts";
import { jobEnvironment, type LocalEngine } from "../executors/local-engine.ts";
import type { Executor } from "../executors/port.ts";
import { createWarmParents, type WarmParents } from "../executors/warm-parents.ts";
import type { BackendParams } from "./backend.ts";
import { secretAccess, secretsOfJobs } from "./cloud-options.ts";
import type { Journal } from "./journal.ts";
import type { ServerSettings } from "./options.ts";

export interface LocalJobs {
  readonly executor: Executor;
  readonly warm: WarmParents | undefined;
}

/** `stateEnv` is what leads the job to State. */
export function createLocalJobs(params: BackendParams, stateEnv: Readonly<Record<string, string>>): LocalJobs {
  const { settings, env, engine, journal } = params;
  const warm = settings.warm ? warmParents(settings, env, journal) : undefined;
  const executor = createLocalExecutor({
    nodePath: process.execPath,
    jobPath: join(import.meta.dirname, "..", "job", `main${extname(fileURLToPath(import.meta.url))}`),
    dataDir: settings.dataDir,
    ...(settings.warm && { spareIdleMs: settings.warmIdleMs }),
    env: async () => {
      const own = { ...jobSettings(settings, await engine(), warm), ...secretAccess(settings, env), ...stateEnv };
      return jobEnvironment(env, settings.jobEnv, own);
    },
  });
  return { executor, warm };
}

function warmParents(settings: ServerSettings, env: BackendParams["env"], journal: Journal): WarmParents {
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
    ...secretsOfJobs(settings),
  };
}
