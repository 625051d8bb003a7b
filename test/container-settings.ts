/** The settings of a job that runs as a container of its own, with State on Google Cloud and nothing beside it. */
import { join } from "node:path";
import type { JobSettings } from "../src/job/settings.ts";

type Own = Pick<JobSettings, "runId" | "dataDir"> & Partial<Pick<JobSettings, "execution">>;

export function containerSettings(
  { runId, dataDir, execution }: Own,
  google: Pick<NonNullable<JobSettings["google"]>, "projectId" | "bucket">,
): JobSettings {
  return {
    ...{ runId, dataDir, execution, root: undefined, fixedBase: join(dataDir, "run"), jobEnv: [], debug: false },
    ...{ taskTimeoutMs: undefined, aheadWaitMs: 0, wakeUrl: undefined, python: undefined },
    ...{ profilesDir: undefined, warm: undefined, google: { ...google, database: undefined } },
  };
}
