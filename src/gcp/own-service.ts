/** What Google says of the Cloud Run service in which this process runs. */
import { metadata } from "./metadata.ts";
import { type ConnectRunParams, connectRun } from "./run.ts";

export interface OwnServiceParams extends ConnectRunParams {
  /** Its short name, as in `K_SERVICE`. */
  readonly service: string;
}

/** Rejects where the service account may not read it: it needs roles/run.viewer on the service. */
export async function readOwnService(
  params: OwnServiceParams,
): Promise<{ readonly members: readonly string[]; readonly isCheckDisabled: boolean }> {
  const { env, fetch: send, service, retry } = params;
  const options = { env, ...(send !== undefined && { fetch: send }), ...(retry !== undefined && { retry }) };
  const [project, region] = await Promise.all([
    metadata("project/project-id", options),
    metadata("instance/region", options),
  ]);
  // Such as `projects/123/regions/europe-west1`.
  const name = `projects/${project}/locations/${region.split("/").at(-1)}/services/${service}`;
  const client = connectRun({ retry: { giveUpAfterMs: 5_000, firstPauseMs: 200, maxPauseMs: 1_000 }, ...params });
  const [policy, resource] = await Promise.all([client.getServicePolicy(name), client.getService(name)]);
  return {
    members: (policy.bindings ?? []).flatMap(({ members }) => members ?? []),
    isCheckDisabled: resource?.invokerIamDisabled === true,
  };
}
