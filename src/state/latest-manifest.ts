/** What `run:latest` stands for: the latest run of a target that succeeded and wrote a manifest. */
import type { Run } from "../core/run.ts";
import type { ArtifactStore } from "./artifacts.ts";
import type { RunStore } from "./runs.ts";

const PAGE = 20;

export interface LatestManifestQuery {
  /** Name of the dbt target; null: whichever. */
  readonly target: string | null;
  /** Key of the workspace; absent: whichever. */
  readonly workspace?: string;
}

export async function latestWithManifest(
  runs: RunStore,
  artifacts: ArtifactStore,
  { target, workspace }: LatestManifestQuery,
): Promise<Run | undefined> {
  let before: number | undefined;
  for (;;) {
    const page = await runs.list({
      statuses: ["success"],
      ...(target !== null && { target }),
      ...(workspace !== undefined && { workspace }),
      ...(before !== undefined && { before }),
      limit: PAGE,
    });
    for (const run of page) {
      if (((await artifacts.get(run.id))?.manifestPath ?? null) !== null) return run;
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return undefined;
    before = last.number;
  }
}
