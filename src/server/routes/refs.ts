/** Runs as requests name them. */

import type { FastifyRequest } from "fastify";
import { Type } from "../../api/schema-builder.ts";
import type { Run } from "../../core/run.ts";
import { workspaceKey } from "../workspace-key.ts";
import { type AppContext, requesterOf } from "./context.ts";

const strict = { additionalProperties: false } as const;

export const RefParams = Type.Object({
  ref: Type.String({ maxLength: 200, description: "A run's id, a unique prefix of it, its number, or `latest`." }),
});

/** What `latest` is looked for in; taken by every route of a run. */
export const refQuery = {
  checkout: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  workspaceName: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  all: Type.Optional(Type.Boolean({ description: "`latest` is then anyone's." })),
};
export const RefQuery = Type.Object(refQuery, strict);

interface RefRequest extends Pick<FastifyRequest, "requester"> {
  readonly params: { readonly ref: string };
  readonly query: { readonly checkout?: string; readonly workspaceName?: string; readonly all?: boolean };
}

/** Throws `run_not_found` or `run_ambiguous`. */
export async function findRun(context: AppContext, request: RefRequest): Promise<Run> {
  return context.reconciled(await findRecord(context, request));
}

/** As it was written down last, whatever has become of its job since. */
export async function findRecord({ stores }: AppContext, request: RefRequest): Promise<Run> {
  const requesterId = requesterOf(request).id;
  const workspace = askedWorkspace(requesterId, request.query);
  const { ref } = request.params;
  return stores.runs.resolve(ref, { requesterId, workspace, all: request.query.all === true });
}

/** Key of the workspace that a query names; null where it names none. */
export function askedWorkspace(
  requesterId: string,
  { checkout, workspaceName }: { readonly checkout?: string; readonly workspaceName?: string },
): string | null {
  if (checkout === undefined && workspaceName === undefined) return null;
  return workspaceKey(requesterId, { checkout, name: workspaceName });
}
