/** A run's log and its events, from any offset: as a stream of events, as JSON, or as plain bytes. */
import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { paths } from "../../api/paths.ts";
import { Type } from "../../api/schema-builder.ts";
import { LogAnswer, LogQuery } from "../../api/schemas/logs.ts";
import { AppError } from "../../core/errors.ts";
import { isTerminal, type Run } from "../../core/run.ts";
import type { LogName, LogPage } from "../../state/port.ts";
import { bytesOf, chunkOf } from "../log/frames.ts";
import type { App, AppContext } from "./context.ts";
import { findRun, RefParams, refQuery } from "./refs.ts";

const DEFAULT_PAGE_BYTES = 1024 * 1024;

const Query = Type.Object({ ...LogQuery.properties, ...refQuery }, { additionalProperties: false });

interface Reading {
  readonly name: LogName;
  readonly offset: number;
  readonly maxBytes: number;
  readonly waitMs: number;
}

export function addLogRoutes(app: App, context: AppContext): void {
  const { state, stores, hub, view, followedRuns } = context;

  const add = (name: LogName, url: string, rawType: string, summary: string): void => {
    app.get(
      url,
      {
        schema: {
          summary,
          description: `By Accept: text/event-stream follows to the end (Last-Event-ID resumes), ${rawType} is only the bytes, else JSON.`,
          params: RefParams,
          querystring: Query,
          produces: ["application/json", "text/event-stream", rawType],
          response: { 200: LogAnswer },
        },
      },
      async (request, reply) => {
        const run = await findRun(context, request);
        const { maxBytes = DEFAULT_PAGE_BYTES, waitMs = 0 } = request.query;
        const offset = readOffset(request.headers["last-event-id"]) ?? request.query.offset ?? 0;
        const reading = { name, offset, maxBytes, waitMs };
        const accept = request.headers.accept ?? "";
        if (accept.includes("text/event-stream")) {
          reply.hijack();
          try {
            hub.follow({ run, name, offset, response: reply.raw, endAtMs: request.tokenExpiresAtMs });
          } catch (error) {
            // The answer is no longer the framework's: a reader that is cut off comes again.
            reply.raw.destroy();
            throw error;
          }
          return;
        }
        const { page, run: now } = await read(run, reading, request);
        if (accept.includes(rawType) || accept.includes("text/")) {
          reply.type(`${rawType}; charset=utf-8`).header("x-content-type-options", "nosniff");
          return (reply as FastifyReply).send(Readable.from(bytesFrom(run.id, name, page), { objectMode: false }));
        }
        return answer(now, reading, page);
      },
    );
  };

  /** One page; waits for it where nothing is there yet. */
  async function read(run: Run, reading: Reading, request: FastifyRequest): Promise<{ page: LogPage; run: Run }> {
    const { name, offset, maxBytes, waitMs } = reading;
    followedRuns.followed(run);
    const first = await state.logs.read(run.id, name, offset, maxBytes);
    if (first.segments.length > 0 || waitMs === 0 || isTerminal(run.status)) return { page: first, run };
    const changed = hub.changed({ runId: run.id, name, waitMs });
    request.raw.once("close", changed.cancel);
    try {
      // What came before the watch had begun is here now.
      const second = await state.logs.read(run.id, name, offset, maxBytes);
      const now = await stores.runs.require(run.id);
      if (second.segments.length === 0 && !isTerminal(now.status)) await changed.promise;
    } finally {
      request.raw.off("close", changed.cancel);
      changed.cancel();
    }
    // The run first: a terminal one has all its bytes.
    const now = await stores.runs.require(run.id);
    return { page: await state.logs.read(run.id, name, offset, maxBytes), run: now };
  }

  async function answer(run: Run, { name, offset }: Reading, page: LogPage): Promise<LogAnswer> {
    const known = page.seal?.finalOffset ?? (name === "log" ? run.logSize : null);
    const atEnd = page.segments.length === 0 ? page.nextOffset : null;
    return {
      ...chunkOf(offset, page),
      run: await view(run),
      finalOffset: isTerminal(run.status) ? (known ?? atEnd) : null,
      sha256: page.seal?.sha256 ?? (name === "log" ? run.logSha256 : null),
    };
  }

  async function* bytesFrom(runId: string, name: LogName, first: LogPage): AsyncGenerator<Buffer> {
    for (let page = first; page.segments.length > 0; ) {
      yield bytesOf(page);
      page = await state.logs.read(runId, name, page.nextOffset, DEFAULT_PAGE_BYTES);
    }
  }

  add("log", paths.log(":ref").replace("%3A", ":"), "text/plain", "What dbt and the job have printed");
  add("events", paths.events(":ref").replace("%3A", ":"), "application/x-ndjson", "dbt's structured events");
}

function readOffset(header: unknown): number | undefined {
  if (header === undefined || header === "") return undefined;
  if (typeof header === "string" && /^\d{1,15}$/.test(header)) return Number(header);
  throw new AppError(
    "bad_request",
    "The header Last-Event-ID has to be an offset that an earlier event had as its id.",
  );
}
