/** The dbt of this machine, and the environment in which the local executor's jobs drive it. */

import { findEngine, requireAdapter, versionText } from "../dbt/find-engine.ts";
import { dbtEnvironment } from "../dbt/job-environment.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface LocalEngine {
  /** Absolute path of the Python that has dbt. */
  readonly python: string;
  readonly version: string;
  readonly adapters: readonly string[];
  /** Throws `adapter_not_found` where the adapter for a profile's `type` is not installed. */
  requireAdapter(type: string): void;
  /** What `dbt --version` prints; takes seconds. */
  versionText(): Promise<string>;
}

export interface FindLocalEngineOptions {
  /** What `--python` says. */
  readonly python: string | undefined;
  readonly env: Environment;
  readonly cwd: string;
  /** Names that dbt may see beside the usual ones. */
  readonly jobEnv: readonly string[];
}

/** Throws `dbt_not_found`. */
export async function findLocalEngine({ python, env, cwd, jobEnv }: FindLocalEngineOptions): Promise<LocalEngine> {
  const engine = await findEngine({ explicit: python, env, cwd, allow: jobEnv });
  return {
    python: engine.python,
    version: engine.version,
    adapters: engine.adapters.map(({ name }) => name),
    requireAdapter: (type) => requireAdapter(engine, type),
    versionText: () => versionText(engine.python, env, jobEnv),
  };
}

/** The environment of a job: what dbt may see of the server's, and the job's own settings. */
export function jobEnvironment(
  serverEnv: Environment,
  jobEnv: readonly string[],
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  return dbtEnvironment({ serverEnv, allow: jobEnv, envelopeEnv: {}, own });
}
