/** Which run a word such as `12`, `3f2a` or `latest` means to this user. */
import type { Client } from "../api/client.ts";
import type { RunListQuery, RunView } from "../api/schemas/runs.ts";
import { AppError } from "../core/errors.ts";
import { checkoutOf } from "./checkout.ts";
import type { CliContext } from "./context.ts";
import type { Settings } from "./settings.ts";

/** The part of a query that means this workspace. */
export async function workspaceQuery(
  { env }: CliContext,
  { values, projectDir }: Settings,
): Promise<Pick<RunListQuery, "checkout" | "workspaceName">> {
  if (values.workspace !== undefined) return { workspaceName: values.workspace };
  return { checkout: await checkoutOf(env, projectDir) };
}

/** The one RUN of a verb. Throws where it is missing, or where more was typed. */
export function oneRef(verb: string, positionals: readonly string[]): string {
  const [ref, extra] = positionals;
  if (ref === undefined || extra !== undefined) {
    const problem = ref === undefined ? "needs a run" : `takes one run, not also "${extra}"`;
    throw new AppError("bad_argument", `dbt-remote ${verb} ${problem}.`, { hint: `dbt-remote ${verb} latest` });
  }
  return ref;
}

/** The run itself; `latest` is the newest of this workspace, or with `--all` of everyone's. */
export async function findRun(context: CliContext, client: Client, settings: Settings, ref: string): Promise<RunView> {
  if (ref !== "latest") return client.run(ref);
  const query = settings.values.all ? {} : await workspaceQuery(context, settings);
  const { runs } = await client.runs({ ...query, limit: 1 });
  const [run] = runs;
  if (run !== undefined) return run;
  const where = settings.values.all ? "on this server" : "in this workspace";
  throw new AppError("run_not_found", `There is no run ${where} yet.`, { hint: "dbt-remote runs --all" });
}

/** Whether a run is the newest one of its workspace. */
export async function isNewest(client: Client, run: RunView, checkout: string): Promise<boolean> {
  const query = run.workspaceName === null ? { checkout } : { workspaceName: run.workspaceName };
  const { runs } = await client.runs({ ...query, limit: 1 });
  return runs[0]?.id === run.id;
}
