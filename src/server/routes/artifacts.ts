/** What a run has written: one file, or all together. */

import type { FastifyReply } from "fastify";
import { paths } from "../../api/paths.ts";
import { Type } from "../../api/schema-builder.ts";
import { ArtifactList } from "../../api/schemas/runs.ts";
import { AppError } from "../../core/errors.ts";
import type { Run } from "../../core/run.ts";
import { packStream } from "../../snapshot/pack.ts";
import { readAll } from "../../state/read-all.ts";
import type { App, AppContext } from "./context.ts";
import { findRun, RefParams, RefQuery } from "./refs.ts";

/** Larger packs come from State itself, where that is configured. */
const REDIRECT_BYTES = 8 * 1024 * 1024;
/** Cloud Run refuses answers of 32 MiB and more that say their length. */
const CHUNKED_BYTES = 24 * 1024 * 1024;
const FileParams = Type.Object({ ...RefParams.properties, "*": Type.String({ maxLength: 4096 }) });

export function addArtifactRoutes(app: App, context: AppContext): void {
  const { artifacts } = context.stores;

  app.get(
    paths.artifacts(":ref").replace("%3A", ":"),
    {
      schema: {
        summary: "The files that a run has written",
        params: RefParams,
        querystring: RefQuery,
        response: { 200: ArtifactList },
      },
    },
    async (request) => {
      const run = await findRun(context, request);
      const found = await artifacts.list(run.id);
      return { artifacts: found.map(({ path, mode, size, sha256 }) => ({ path, mode, size, sha256 })) };
    },
  );

  app.get(
    paths.artifactPack(":ref").replace("%3A", ":"),
    {
      schema: {
        summary: "All of them as a tar.gz",
        params: RefParams,
        querystring: RefQuery,
        produces: ["application/gzip"],
      },
    },
    async (request, reply) => {
      const run = await findRun(context, request);
      const record = await artifacts.get(run.id);
      const [first, ...more] = record?.packs ?? [];
      if (first === undefined) throw none(run);
      const fileName = `run-${run.number}.tar.gz`;
      reply.type("application/gzip").header("content-disposition", `attachment; filename="${fileName}"`);
      if (more.length > 0) return reply.send(await together(run));
      if (context.signedDownloads && first.bytes > REDIRECT_BYTES) {
        const url = await artifacts.packUrl(run.id, first.name, fileName).catch((error: unknown) => {
          context.onError(error, request.id);
          return undefined;
        });
        if (url !== undefined) return reply.header("cache-control", "no-store").redirect(url, 302);
      }
      const { bytes, content } = await artifacts.openPack(run.id, first.name);
      return announce(reply, bytes).send(content);
    },
  );

  app.get(
    `${paths.artifacts(":ref").replace("%3A", ":")}/*`,
    {
      schema: {
        summary: "One of them",
        params: FileParams,
        querystring: RefQuery,
        produces: ["application/octet-stream"],
      },
    },
    async (request, reply) => {
      const run = await findRun(context, request);
      const { artifact, content } = await artifacts.open(run.id, request.params["*"]);
      // They hold whatever a project writes: no browser is to make a page of it.
      reply.header("x-content-type-options", "nosniff").header("content-disposition", "attachment");
      return announce(reply.type(typeOf(artifact.path)), artifact.size).send(content);
    },
  );

  /** Several packs as one. */
  async function together(run: Run) {
    const files = await artifacts.list(run.id);
    async function* inputs() {
      for (const { path, mode, size } of files) {
        if (mode === "120000") continue;
        const { content } = await artifacts.open(run.id, path);
        yield { path, mode, size, content: size < 1024 * 1024 ? await readAll(content) : content };
      }
    }
    return packStream(inputs()).stream;
  }
}

/** Says how much comes, unless it is so much that Cloud Run takes it in pieces only: then it goes in chunks. */
function announce<R extends Pick<FastifyReply, "header">>(reply: R, bytes: number): R {
  if (bytes <= CHUNKED_BYTES) reply.header("content-length", bytes);
  return reply;
}

function none(run: Run): AppError {
  return new AppError(
    "artifact_not_found",
    `Run ${run.number} has no artifacts${run.dbtFinished === null ? " yet" : ""}.`,
  );
}

function typeOf(path: string): string {
  if (path.endsWith(".json")) return "application/json; charset=utf-8";
  return /\.(sql|log|txt|csv|ya?ml|md)$/.test(path) ? "text/plain; charset=utf-8" : "application/octet-stream";
}
