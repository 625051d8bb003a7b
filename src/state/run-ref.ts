/** What a user may call a run: a uuid, a unique prefix of one, a number or `latest`. */
import { AppError } from "../core/errors.ts";
import type { Run } from "../core/run.ts";
import type { RecordStore } from "./port.ts";
import { listRuns, RUNS } from "./run-list.ts";

export const RUN_NUMBERS = "run-numbers";

/** Who has a number; its key is the number. */
export interface RunNumber {
  readonly number: number;
  readonly runId: string;
}

export interface ResolveScope {
  /** Id of who asks. */
  readonly requesterId: string;
  /** Key of the workspace that `latest` is meant in; null: whichever. */
  readonly workspace: string | null;
  /** `latest` is then the latest of anyone, anywhere. */
  readonly all: boolean;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const NUMBER = /^[0-9]{1,15}$/;
/** At least 4 characters, one of them a letter: all digits is a number. */
const PREFIX = /^(?=.*[a-f])[0-9a-f-]{4,36}$/;
const MAX_CANDIDATES = 10;

export async function resolveRun(records: RecordStore, ref: string, scope: ResolveScope): Promise<Run> {
  const wanted = ref.trim().toLowerCase();
  if (wanted === "latest") return latest(records, scope);
  if (NUMBER.test(wanted)) {
    const number = await records.get<RunNumber>(RUN_NUMBERS, String(Number(wanted)));
    const run = number === undefined ? undefined : await records.get<Run>(RUNS, number.data.runId);
    if (run !== undefined) return run.data;
    throw notFound(`There is no run with the number ${wanted}.`);
  }
  if (UUID.test(wanted)) {
    const run = await records.get<Run>(RUNS, wanted);
    if (run !== undefined) return run.data;
    throw notFound(`There is no run ${wanted}.`);
  }
  if (!PREFIX.test(wanted)) {
    throw notFound(
      `${JSON.stringify(ref.slice(0, 100))} is no run: a run is its number, its id, the first 4 or more characters of its id with a letter among them, or latest.`,
    );
  }
  return byPrefix(records, wanted);
}

async function latest(records: RecordStore, scope: ResolveScope): Promise<Run> {
  const { requesterId, workspace, all } = scope;
  const mine = { requesterId, ...(workspace !== null && { workspace }) };
  const [run] = await listRuns(records, { ...(all ? {} : mine), limit: 1 });
  if (run !== undefined) return run;
  if (all) throw notFound("There is no run yet.");
  throw notFound("You have no run in this workspace yet; --all looks at everyone's.");
}

async function byPrefix(records: RecordStore, prefix: string): Promise<Run> {
  // Keys are ordered, and none equals the prefix: those that begin with it come right behind it.
  const next = await records.list<Run>(RUNS, { after: prefix, limit: MAX_CANDIDATES });
  const candidates = next.filter(({ key }) => key.startsWith(prefix)).map(({ data }) => data);
  const [run, ...others] = candidates;
  if (run === undefined) throw notFound(`There is no run whose id begins with ${prefix}.`);
  if (others.length === 0) return run;
  const ids = candidates.map(({ id }) => id);
  throw new AppError("run_ambiguous", `${prefix} is the beginning of more than one run: ${ids.join(", ")}.`, {
    hint: "Give more characters of the id.",
    details: { candidates: ids },
  });
}

function notFound(message: string): AppError {
  return new AppError("run_not_found", message, { hint: "dbt-remote runs --all" });
}
