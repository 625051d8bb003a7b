/** The dbt that a job drives. Nothing is asked of it before it is needed: each question costs a start of Python. */
import { describeEngine, type EngineDescription, findEngine } from "../dbt/find-engine.ts";
import { createProcessEngine } from "../dbt/process-engine.ts";
import type { JobEngine } from "./execute-run.ts";
import type { JobSettings } from "./settings.ts";

export interface JobEngineParams {
  readonly settings: JobSettings;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

export function createJobEngine({ settings, env, cwd }: JobEngineParams): JobEngine {
  const { python, jobEnv } = settings;
  let described: Promise<EngineDescription> | undefined;
  const describe = (): Promise<EngineDescription> => {
    described ??= python === undefined ? findEngine({ env, cwd, allow: jobEnv }) : describeEngine(python, env, jobEnv);
    return described;
  };
  return {
    async version() {
      return (await describe()).version;
    },
    async start(invocation) {
      // The server has looked at the Python that it names.
      const engine = python === undefined ? await describe() : { python, version: "", adapters: [] };
      return createProcessEngine(engine).start(invocation);
    },
  };
}
