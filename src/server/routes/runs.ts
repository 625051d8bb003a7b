/** Runs: made, listed, shown, cancelled. */
import { headers, paths } from "../../api/paths.ts";
import { CancelRequest, RunAnswer, RunList, RunListQuery, RunRequest, RunView } from "../../api/schemas/runs.ts";
import { AppError } from "../../core/errors.ts";
import { isTerminal } from "../../core/run.ts";
import { type App, type AppContext, requesterOf } from "./context.ts";
import { askedWorkspace, findRecord, findRun, RefParams, RefQuery } from "./refs.ts";

/** Small clients send whole projects in it. */
const BODY_LIMIT = 48 * 1024 * 1024;
const DEFAULT_LIMIT = 50;

export function addRunRoutes(app: App, context: AppContext): void {
  const { stores, view, createRun, reconciled } = context;

  app.post(
    paths.runs,
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        summary: "Runs a dbt command on a project that was sent before, or comes along",
        description: `The header ${headers.idempotencyKey} makes a repeated post the same run for 24 hours.`,
        body: RunRequest,
        response: { 200: RunAnswer, 202: RunAnswer },
      },
    },
    async (request, reply) => {
      const requester = requesterOf(request);
      const idempotencyKey = readKey(request.headers[headers.idempotencyKey]);
      const { run, created } = await createRun({ request: request.body, requester, idempotencyKey });
      if (created) context.onRun(`Run ${run.number} is to run dbt ${run.verb}`, run.id, request.id);
      reply.code(created ? 202 : 200).header("location", paths.run(run.id));
      return { run: await view(run), created };
    },
  );

  app.get(
    paths.runs,
    { schema: { summary: "Runs, newest first", querystring: RunListQuery, response: { 200: RunList } } },
    async (request) => {
      const { status, verb, since, until, limit = DEFAULT_LIMIT, before } = request.query;
      const workspace = askedWorkspace(requesterOf(request).id, request.query);
      const runs = await stores.runs.list({
        limit,
        ...(status !== undefined && { statuses: [status] }),
        ...(verb !== undefined && { verb }),
        ...(since !== undefined && { since: readTime("since", since) }),
        ...(until !== undefined && { until: readTime("until", until) }),
        ...(before !== undefined && { before }),
        ...(workspace !== null && { workspace }),
      });
      const last = runs.length < limit ? undefined : runs.at(-1);
      return {
        runs: await Promise.all(runs.map(async (run) => view(await reconciled(run)))),
        nextBefore: last?.number ?? null,
      };
    },
  );

  app.get(
    paths.run(":ref").replace("%3A", ":"),
    { schema: { summary: "One run", params: RefParams, querystring: RefQuery, response: { 200: RunView } } },
    async (request) => view(await findRun(context, request)),
  );

  app.post(
    paths.cancel(":ref").replace("%3A", ":"),
    {
      // A cancellation needs no body.
      preValidation: async (request) => {
        request.body ??= {};
      },
      schema: {
        summary: "Asks a run to end",
        description: "Another's run is named by its full id.",
        params: RefParams,
        querystring: RefQuery,
        body: CancelRequest,
        response: { 200: RunView, 202: RunView },
      },
    },
    async (request, reply) => {
      const run = await findRecord(context, request);
      const requester = requesterOf(request);
      if (run.requester.id !== requester.id && request.params.ref.toLowerCase() !== run.id) {
        throw new AppError(
          "forbidden",
          `Run ${run.number} is ${run.requester.label}'s; cancelling it takes its full id.`,
          {
            hint: `dbt-remote cancel ${run.id}`,
          },
        );
      }
      if (isTerminal(run.status)) {
        throw new AppError("run_finished", `Run ${run.number} has ended already: ${run.status}.`);
      }
      context.onRun(`Run ${run.number} is to be cancelled`, run.id, request.id);
      await context.cancel(run, requester, request.body.reason ?? null);
      const now = await stores.runs.require(run.id);
      reply.code(isTerminal(now.status) ? 200 : 202);
      return view(now);
    },
  );
}

function readKey(header: unknown): string | undefined {
  if (header === undefined) return undefined;
  if (typeof header === "string" && /^[\x21-\x7e]{1,200}$/.test(header)) return header;
  throw new AppError(
    "bad_request",
    `The header ${headers.idempotencyKey} has to be 1 to 200 characters without blanks.`,
  );
}

function readTime(name: string, value: string): string {
  const time = Date.parse(value);
  const year = Number.isNaN(time) ? Number.NaN : new Date(time).getUTCFullYear();
  if (year >= 0 && year <= 9999) return new Date(time).toISOString();
  throw new AppError("bad_request", `${name} is ${JSON.stringify(value.slice(0, 100))}, which is no time.`, {
    hint: "For example: 2026-01-31T08:00:00Z",
  });
}
