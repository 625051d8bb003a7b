/** What the server is. */

import { paths } from "../../api/paths.ts";
import { Type } from "../../api/schema-builder.ts";
import { ServerAnswer } from "../../api/schemas.ts";
import type { App, AppContext } from "./context.ts";

export function addServerRoutes(app: App, { describe }: AppContext): void {
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
}

const Query = Type.Object(
  {
    versionText: Type.Optional(
      Type.Boolean({ description: "Whether to ask dbt for what `dbt --version` prints, which may take seconds." }),
    ),
  },
  { additionalProperties: false },
);
