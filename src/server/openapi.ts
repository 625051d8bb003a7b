/** The OpenAPI description and its page, made when somebody first asks for them: nobody else pays for loading them. */
import fastify, { type FastifyInstance, type RouteOptions } from "fastify";
import { paths } from "../api/paths.ts";
import type { App } from "./routes/context.ts";

/** Has to be added before the routes that it describes. */
export function addOpenApi(app: App, version: string): void {
  const described: RouteOptions[] = [];
  app.addHook("onRoute", (route) => {
    if (route.url.startsWith("/api/") || route.url === paths.check) described.push(route);
  });
  let docs: Promise<FastifyInstance> | undefined;
  const getDocs = (): Promise<FastifyInstance> => {
    docs ??= createDocs(described, version).catch((error: unknown) => {
      docs = undefined;
      throw error;
    });
    return docs;
  };
  app.addHook("onClose", async () => {
    await (await docs?.catch(() => undefined))?.close();
  });

  const config = { isOpen: true };
  const schema = { hide: true };
  app.get("/openapi.json", { config, schema }, async () => (await getDocs()).swagger());
  const page = async (url: string) => {
    const { statusCode, headers, rawPayload } = await (await getDocs()).inject({ method: "GET", url });
    return { statusCode, headers, rawPayload };
  };
  for (const url of [paths.docs, `${paths.docs}/*`]) {
    app.get(url, { config, schema }, async (request, reply) => {
      const answer = await page(request.url);
      for (const [name, value] of Object.entries(answer.headers)) {
        if (value !== undefined && name !== "content-length" && name !== "connection") reply.header(name, value);
      }
      return reply.code(answer.statusCode).send(answer.rawPayload);
    });
  }
}

/** An app that only has the routes' descriptions. */
async function createDocs(routes: readonly RouteOptions[], version: string): Promise<FastifyInstance> {
  const [{ default: swagger }, { default: swaggerUi }] = await Promise.all([
    import("@fastify/swagger"),
    import("@fastify/swagger-ui"),
  ]);
  const app = fastify({ exposeHeadRoutes: false });
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "dbt-server", version, description: "Runs dbt commands, and serves their logs and artifacts." },
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
      security: [{ token: [] }],
    },
  });
  await app.register(swaggerUi, { routePrefix: paths.docs });
  const handler = async (): Promise<void> => {};
  for (const { method, url, schema } of routes) {
    if (method !== "HEAD" && schema?.hide !== true) app.route({ method, url, schema: schema ?? {}, handler });
  }
  await app.ready();
  return app;
}
