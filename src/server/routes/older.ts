/** The routes of the older dbt-remote (gcp-dbt-remote 0.4.6), in its words; described in docs/older-clients.md. */
import { randomBytes } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { Type } from "../../api/schema-builder.ts";
import type { ErrorAnswer } from "../../api/schemas/server.ts";
import { AppError } from "../../core/errors.ts";
import { isTerminal, type Run } from "../../core/run.ts";
import { createReadPositionStore } from "../../state/read-positions.ts";
import { errorHandler } from "../error-answers.ts";
import { readForm } from "../older/form.ts";
import { missingEnd, readOlderLines } from "../older/log-lines.ts";
import { olderRequest } from "../older/request.ts";
import { type App, type AppContext, requesterOf } from "./context.ts";

/** Any other ends the older client. */
const OLDER_VERSION = "0.4.6";

const Params = Type.Object({ ref: Type.String({ maxLength: 200 }) });
const Reader = Type.Object({ reader: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$" })) });

export async function addOlderRoutes(app: App, context: AppContext): Promise<void> {
  const { state, stores, createRun, followedRuns } = context;
  const positions = createReadPositionStore(state.records);

  async function find(request: Pick<FastifyRequest, "requester">, ref: string): Promise<Run> {
    const run = await stores.runs.resolve(ref, { requesterId: requesterOf(request).id, workspace: null, all: true });
    return context.reconciled(run);
  }

  await app.register(async (older: App) => {
    older.setErrorHandler(errorHandler(context.onError, inOlderWords));
    older.addContentTypeParser("multipart/form-data", (_request, payload, done) => done(null, payload));

    older.get("/version", async () => ({ version: OLDER_VERSION }));

    older.post("/dbt", async (request, reply) => {
      const form = await readForm(request.body, request.headers["content-type"]);
      const base = baseUrl(form.fields.get("server_url"));
      const posted = { request: await olderRequest(form), requester: requesterOf(request), idempotencyKey: undefined };
      const { run } = await createRun(posted);
      const reader = randomBytes(12).toString("base64url");
      reply.code(202);
      return {
        uuid: run.id,
        message: `Run ${run.number} was taken: dbt ${run.command.join(" ").slice(0, 200)} (${run.id})`,
        links: { run_status: `${base}job/${run.id}`, last_logs: `${base}job/${run.id}/last_logs?reader=${reader}` },
      };
    });

    older.get("/job/:ref", { schema: { params: Params } }, async (request) => {
      const run = await find(request, request.params.ref);
      return { run_status: run.status };
    });

    older.get("/job/:ref/logs", { schema: { params: Params } }, async (request) => {
      const run = await find(request, request.params.ref);
      const run_logs: string[] = [];
      for (let offset = 0, isAll = false; !isAll; ) {
        const page = await readOlderLines(state.logs, run, offset);
        run_logs.push(...page.lines);
        ({ isAll, nextOffset: offset } = page);
      }
      if (isTerminal(run.status)) run_logs.push(...(await missingEnd(state.logs, run)));
      return { run_status: run.status, run_logs };
    });

    older.get("/job/:ref/last_logs", { schema: { params: Params, querystring: Reader } }, async (request) => {
      // The run first: a terminal one has all its lines, and they are all in this answer.
      const run = await find(request, request.params.ref);
      followedRuns.followed(run);
      const { reader = "" } = request.query;
      const from = await positions.get(run.id, reader);
      const { lines, nextOffset, isAll } = await readOlderLines(state.logs, run, from);
      await positions.move(run.id, reader, nextOffset);
      if (!isTerminal(run.status)) return { run_status: run.status, run_logs: lines };
      if (!isAll) return { run_status: "running", run_logs: lines };
      return { run_status: run.status, run_logs: [...lines, ...(await missingEnd(state.logs, run))] };
    });

    older.get("/schedule", async () => ({ schedules: {} }));
    older.post("/schedule", async (request) => {
      await readForm(request.body, request.headers["content-type"]);
      throw noSchedules();
    });
    older.delete("/schedule/:ref", { schema: { params: Params } }, async () => {
      throw noSchedules();
    });
    older.post("/schedule/:ref/start", { schema: { params: Params } }, async () => {
      throw noSchedules();
    });
  });
}

function inOlderWords({ error }: ErrorAnswer): { detail: string } {
  const { message, hint } = error;
  return { detail: hint === undefined ? message : `${message} ${hint.replace(/\.?$/, ".")}` };
}

function noSchedules(): AppError {
  return new AppError("bad_request", "Schedules are not available on this server yet.", {
    hint: "Run the command without --schedule",
  });
}

/** The address that the client gave, to which it adds paths. */
function baseUrl(given: string | undefined): string {
  if (given !== undefined && given.length <= 2000 && /^https?:\/\/[^\s"<>\\]+$/.test(given)) {
    return given.endsWith("/") ? given : `${given}/`;
  }
  throw new AppError("bad_request", "The form's server_url is not the address of a server.", {
    hint: "Start dbt-remote with --server-url http://…/",
  });
}
