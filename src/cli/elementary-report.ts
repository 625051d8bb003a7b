/** Says where a run's Elementary report is. Why there is none, the job has said. */
import type { Client } from "../api/client.ts";
import { paths } from "../api/paths.ts";
import type { RunView } from "../api/schemas/runs.ts";
import { ELEMENTARY_OUTPUT, ELEMENTARY_REPORT } from "../core/elementary.ts";
import type { Output } from "./output.ts";

export async function sayElementaryReport(client: Client, run: RunView, output: Output): Promise<void> {
  try {
    const { artifacts } = await client.artifacts(run.id);
    const link = (name: string): string | undefined => {
      const found = artifacts.find(({ path }) => path === name || path.endsWith(`/${name}`));
      return found && `${client.baseUrl}${paths.artifact(run.id, found.path)}`;
    };
    const [page, data] = [link(ELEMENTARY_REPORT), link(ELEMENTARY_OUTPUT)];
    if (page !== undefined) output.say(`Elementary report: ${page}`);
    if (data !== undefined) output.say(`the same as JSON: ${data}`);
  } catch (error) {
    output.complain(
      `dbt-remote: the Elementary report can't be told: ${error instanceof Error ? error.message : error}`,
    );
  }
}
