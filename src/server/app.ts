/** The HTTP app, apart from where it listens. */
import fastify, { type FastifyRequest } from "fastify";
import { AppError } from "../core/errors.ts";
import { requestIdOf } from "./cloud-journal.ts";
import { errorHandler } from "./error-answers.ts";
import { lazyValidators } from "./lazy-validation.ts";
import { addOpenApi } from "./openapi.ts";
import { addArtifactRoutes } from "./routes/artifacts.ts";
import { acceptBytes } from "./routes/bodies.ts";
import { addCheckRoutes } from "./routes/check.ts";
import type { App, AppContext } from "./routes/context.ts";
import { addLogRoutes } from "./routes/logs.ts";
import { addOlderRoutes } from "./routes/older.ts";
import { addPackRoutes } from "./routes/packs.ts";
import { addReconcileRoutes } from "./routes/reconcile.ts";
import { addRunRoutes } from "./routes/runs.ts";
import { addServerRoutes } from "./routes/server.ts";
import { addSnapshotRoutes } from "./routes/snapshots.ts";

const JSON_BODY_LIMIT = 1024 * 1024;

export async function createApp(context: AppContext): Promise<App> {
  const onFailure = errorHandler(context.onError);
  const app: App = fastify({
    bodyLimit: JSON_BODY_LIMIT,
    genReqId: ({ headers }) => requestIdOf(headers),
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 5000 },
    // Bodies are taken as they are: what has another type than the schema says is an error, not a guess. The one keyword
    // of a newer JSON Schema is for readers; the snapshot's own rules check such rows.
    ajv: {
      customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, keywords: ["prefixItems"] },
    },
    schemaController: { compilersFactory: { buildValidator: lazyValidators() } },
    frameworkErrors: onFailure,
  });
  // Answers are built field by field; the schemas only describe them.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler(onFailure);
  app.setNotFoundHandler((request) => {
    throw new AppError("route_not_found", `There is no ${request.method} ${request.url.slice(0, 200)}.`, {
      hint: "The routes are listed at /docs",
    });
  });
  app.decorateRequest("requester", null);
  app.decorateRequest("tokenExpiresAtMs", null);
  app.addHook("onRequest", async (request) => {
    context.auth.checkOrigin(request.headers, context.port());
    if (request.routeOptions.config.isOpen === true) return;
    const { requester, expiresAtMs } = await context.auth.caller(request.headers);
    request.requester = requester;
    request.tokenExpiresAtMs = expiresAtMs;
  });
  app.addHook("preValidation", async (request) => {
    request.query = typedQuery(request);
  });
  acceptBytes(app);
  addOpenApi(app, context.version);
  addCheckRoutes(app, context);
  addServerRoutes(app, context);
  addSnapshotRoutes(app, context);
  addPackRoutes(app, context);
  addRunRoutes(app, context);
  addReconcileRoutes(app, context);
  addLogRoutes(app, context);
  addArtifactRoutes(app, context);
  await addOlderRoutes(app, context);
  await app.ready();
  return app;
}

/** A query is text; numbers and truth values become what the route's schema says. */
function typedQuery(request: FastifyRequest): Record<string, unknown> {
  const query = request.query as Record<string, unknown>;
  const schema = request.routeOptions.schema?.querystring as
    | { properties?: Record<string, { type?: string }> }
    | undefined;
  const typed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(query)) {
    const type = schema?.properties?.[name]?.type;
    if (type === "integer" && typeof value === "string" && /^-?\d{1,15}$/.test(value)) typed[name] = Number(value);
    else if (type === "boolean" && (value === "true" || value === "false")) typed[name] = value === "true";
    else typed[name] = value;
  }
  return typed;
}
