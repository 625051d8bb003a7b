/** What the server is. */

import { paths } from "../../api/paths.ts";
import { Type } from "../../api/schema-builder.ts";
import { MetricsAnswer, ServerAnswer } from "../../api/schemas/server.ts";
import type { App, AppContext } from "./context.ts";

export function addServerRoutes(app: App, { describe, metrics }: AppContext): void {
  app.get(
    paths.server,
    {
      schema: {
        summary: "Versions, dbt, adapters, and where profiles come from",
        querystring: Query,
        response: { 200: ServerAnswer },
      },
    },
    (request) => describe(request.query.versionText === true),
  );
  app.get(
    paths.metrics,
    { schema: { summary: "What is in memory and under way", response: { 200: MetricsAnswer } } },
    () => metrics(),
  );
}

const Query = Type.Object(
  {
    versionText: Type.Optional(
      Type.Boolean({ description: "Whether to ask dbt for what `dbt --version` prints, which may take seconds." }),
    ),
  },
  { additionalProperties: false },
);
