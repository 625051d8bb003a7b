/** The dbt that a job drives. Nothing is asked of it before it is needed: each question costs a start of Python. */
import { join, resolve } from "node:path";
import { parseDbtArgv } from "../core/dbt-argv.ts";
import { describeEngine, type EngineDescription, findEngine } from "../dbt/find-engine.ts";
import type { DbtEngine, DbtInvocation } from "../dbt/port.ts";
import { createProcessEngine } from "../dbt/process-engine.ts";
import { createWarmEngine } from "../dbt/warm-engine.ts";
import { pathSetting } from "./adapt.ts";
import type { JobEngine } from "./execute-run.ts";
import { outputPlaces } from "./places.ts";
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
  // The server has looked at the Python that it names.
  const named = python === undefined ? undefined : engineOf(settings, { python, version: "", adapters: [] });
  return {
    async version() {
      return (await describe()).version;
    },
    announce: (invocation) => named?.announce?.(invocation),
    start: async (invocation) => (named ?? engineOf(settings, await describe())).start(invocation),
  };
}

function engineOf({ warm, debug }: JobSettings, described: Parameters<typeof createProcessEngine>[0]): DbtEngine {
  const cold = createProcessEngine(described);
  return warm === undefined ? cold : warmly(warm, debug, cold);
}

function warmly(place: NonNullable<JobSettings["warm"]>, debug: boolean, cold: DbtEngine): DbtEngine {
  return createWarmEngine({
    ...place,
    fallback: cold,
    parseState: parseStatePath,
    debug: (text) => debug && console.error(`dbt-job: ${text}`),
  });
}

/** Where dbt keeps its parse state: named, or in the target folder. */
function parseStatePath({ cwd, args, env }: DbtInvocation): string | null {
  const named = pathSetting(parseDbtArgv(args), "--partial-parse-file-path", env);
  if (named !== undefined) return resolve(cwd, named);
  return join(outputPlaces({ project: cwd, args, env }).targetDir, "partial_parse.msgpack");
}
