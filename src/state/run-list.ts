/** Runs by what a user filters them by, newest first. */
import { AppError } from "../core/errors.ts";
import { RUN_STATUSES, type Run, type RunStatus } from "../core/run.ts";
import type { RecordQuery, RecordStore } from "./port.ts";

export interface RunFilter {
  /** Any of these; default: all. */
  readonly statuses?: readonly RunStatus[];
  readonly verb?: string;
  readonly workspace?: string;
  readonly requesterId?: string;
  readonly target?: string;
  /** ISO 8601: created at or after … */
  readonly since?: string;
  /** … and before. */
  readonly until?: string;
  /** Runs with a smaller number only: the next page. */
  readonly before?: number;
  /** Default: all. */
  readonly limit?: number;
}

export const RUNS = "runs";
const PAGE = 200;

type Where = NonNullable<RecordQuery["where"]>;

export async function listRuns(records: RecordStore, filter: RunFilter): Promise<Run[]> {
  const { statuses, limit = Number.POSITIVE_INFINITY } = filter;
  const before = await firstNumber(records, filter);
  if (before === "none") return [];
  const wheres: Where[] = (
    statuses === undefined ? [undefined] : RUN_STATUSES.filter((each) => statuses.includes(each))
  ).map((status) => ({
    ...(status !== undefined && { status }),
    ...(filter.verb !== undefined && { verb: filter.verb }),
    ...(filter.workspace !== undefined && { workspace: filter.workspace }),
    ...(filter.requesterId !== undefined && { "requester.id": filter.requesterId }),
  }));
  // Several statuses are several queries, one after the other as runs go: one that moves meanwhile may be in two of them,
  // but never in none.
  const latest = new Map<string, Run>();
  for (const where of wheres) {
    for (const run of await take(records, where, filter, before, limit)) latest.set(run.id, run);
  }
  return [...latest.values()].sort((a, b) => b.number - a.number).slice(0, limit);
}

function isoTime(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const time = new Date(text);
  if (Number.isFinite(time.getTime())) return time.toISOString();
  throw new AppError("bad_argument", `Not a time: ${JSON.stringify(text.slice(0, 100))}.`, {
    hint: "Write it as in 2026-01-31T12:00:00Z.",
  });
}

/** The number to begin before; numbers grow with time, so `until` is one too. */
async function firstNumber(records: RecordStore, filter: RunFilter): Promise<number | undefined | "none"> {
  const until = isoTime(filter.until);
  if (until === undefined) return filter.before;
  const query = { orderBy: "createdAt", direction: "descending", after: until, limit: 1 } as const;
  const [newest] = await records.list<Run>(RUNS, query);
  if (newest === undefined) return "none";
  return Math.min(newest.data.number + 1, filter.before ?? Number.POSITIVE_INFINITY);
}

async function take(
  records: RecordStore,
  where: Where,
  filter: RunFilter,
  before: number | undefined,
  limit: number,
): Promise<Run[]> {
  const since = isoTime(filter.since) ?? "";
  const until = isoTime(filter.until);
  const isFiltered = until !== undefined || filter.target !== undefined;
  const pageSize = isFiltered ? PAGE : Math.min(PAGE, limit);
  const found: Run[] = [];
  let after = before;
  for (;;) {
    const page = await records.list<Run>(RUNS, {
      where,
      orderBy: "number",
      direction: "descending",
      ...(after !== undefined && { after }),
      limit: pageSize,
    });
    for (const { data: run } of page) {
      if (run.createdAt < since) return found;
      if (until !== undefined && run.createdAt >= until) continue;
      if (filter.target !== undefined && run.target !== filter.target) continue;
      found.push(run);
      if (found.length >= limit) return found;
    }
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return found;
    after = last.data.number;
  }
}
