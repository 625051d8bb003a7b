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

export interface ListedServices {
  readonly services: readonly RunService[];
  /** Why some region did not say what it has: what was not found may be there. */
  readonly failure?: unknown;
}

/** Rejects where Google refuses, or no region answers. */
export async function listServices(params: ListServicesParams): Promise<ListedServices> {
  const { rest, projectId, location, baseUrl = RUN_URL } = params;
  const client = createRunClient({ rest, baseUrl });
  const at = (place: string) => client.listServices(`projects/${projectId}/locations/${place}`);
  if (location !== undefined) return { services: await at(location) };
  try {
    return { services: await at("-") };
  } catch (error) {
    // Google does not promise that all regions can be asked at once.
    if (!(error instanceof AppError && error.details?.["status"] === 400)) throw error;
  }
  const answers = await Promise.allSettled((await regions(params)).map(at));
  const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  const failures = answers.flatMap((answer) => (answer.status === "rejected" ? [answer.reason as unknown] : []));
  if (found.length === 0 && failures.length > 0) throw failures[0];
  // A region that is closed to this project has none of its services.
  const failure = failures.find((error) => !(error instanceof AppError && error.code === "forbidden"));
  return { services: found.flat(), ...(failure !== undefined && { failure }) };
}

async function regions({ rest, projectId, baseUrl = RUN_URL }: ListServicesParams): Promise<string[]> {
  const answer = await rest.request({
    method: "GET",
    url: `${baseUrl}/v1/projects/${projectId}/locations`,
    doing: `listing the regions of ${projectId}`,
    needs: "roles/run.viewer",
    isJson: true,
  });
  const { locations = [] } = (answer.json() ?? {}) as { locations?: { locationId?: unknown }[] };
  return locations.flatMap(({ locationId }) => (typeof locationId === "string" ? [locationId] : []));
}
