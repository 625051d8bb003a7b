/** Routes that are open to everyone: what is here, and the proof that it is the server which registered here. */

import { paths } from "../../api/paths.ts";
import { Type } from "../../api/schema-builder.ts";
import { ServerProof } from "../../api/schemas/server.ts";
import { AppError } from "../../core/errors.ts";
import type { App, AppContext } from "./context.ts";

export function addCheckRoutes(app: App, { auth, port, version }: AppContext): void {
  const config = { isOpen: true };

  app.get("/", { config, schema: { hide: true } }, async (_request, reply) => {
    const lines = [
      `dbt-server ${version} on port ${port()}`,
      "",
      `Run dbt here with dbt-remote, for example: dbt-remote build`,
      `The API is described at ${paths.docs}, as OpenAPI at /openapi.json.`,
      "",
    ];
    return reply.type("text/plain; charset=utf-8").send(lines.join("\n"));
  });

  app.get(
    paths.check,
    {
      config,
      schema: {
        summary: "Says that a dbt-server is here",
        response: { 200: Type.Object({ response: Type.String() }) },
      },
    },
    async () => ({ response: `Running dbt-server on port ${port()}` }),
  );

  app.get(
    paths.proof,
    {
      config,
      schema: {
        summary: "Proves to a local client that this server wrote its registration file",
        querystring: Type.Object(
          { nonce: Type.String({ minLength: 16, maxLength: 512 }) },
          { additionalProperties: false },
        ),
        response: { 200: ServerProof },
      },
    },
    async (request) => {
      const proof = auth.proof(request.query.nonce);
      if (proof === undefined)
        throw new AppError("route_not_found", `This server has no registration file (--auth ${auth.kind}).`);
      return { proof };
    },
  );
}
