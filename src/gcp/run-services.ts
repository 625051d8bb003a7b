/** The Cloud Run services of a project, in one region or in all. */
import { AppError } from "../core/errors.ts";
import type { Rest } from "./rest.ts";
import { createRunClient, RUN_URL, type RunService } from "./run.ts";

export interface ListServicesParams {
  readonly rest: Rest;
  readonly projectId: string;
  /** Undefined: every region. */
  readonly location: string | undefined;
  /** Without a slash at its end. */
  readonly baseUrl?: string;
}

/** Rejects where Google refuses, or no region answers. */
export async function listServices(params: ListServicesParams): Promise<readonly RunService[]> {
  const { rest, projectId, location, baseUrl = RUN_URL } = params;
  const client = createRunClient({ rest, baseUrl });
  const at = (place: string) => client.listServices(`projects/${projectId}/locations/${place}`);
  if (location !== undefined) return at(location);
  try {
    return await at("-");
  } catch (error) {
    // Google does not promise that all regions can be asked at once.
    if (!(error instanceof AppError && error.details?.["status"] === 400)) throw error;
  }
  const answers = await Promise.allSettled((await regions(params)).map(at));
  const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  const failed = answers.find(({ status }) => status === "rejected");
  if (found.length === 0 && failed?.status === "rejected") throw failed.reason;
  return found.flat();
}

async function regions({ rest, projectId, baseUrl = RUN_URL }: ListServicesParams): Promise<string[]> {
  const answer = await rest.request({
    method: "GET",
    url: `${baseUrl}/v1/projects/${projectId}/locations`,
    doing: `listing the regions of ${projectId}`,
    needs: "roles/run.viewer",
  });
  const { locations = [] } = (answer.json() ?? {}) as { locations?: { locationId?: unknown }[] };
  return locations.flatMap(({ locationId }) => (typeof locationId === "string" ? [locationId] : []));
}
