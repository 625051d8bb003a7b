/** Makes the Jobs that a server was told to manage, and keeps what it does not know of them as it is. */
import type { RunClient, RunContainer, RunEnvVar, RunJob, RunTaskTemplate } from "../gcp/run.ts";

/** One Job as it is to be. What is undefined is left as it is, or as Google makes it. */
export interface JobSpec {
  readonly projectId: string;
  readonly location: string;
  readonly job: string;
  readonly image: string;
  readonly cpu?: string | undefined;
  readonly memory?: string | undefined;
  readonly timeoutMs: number;
  readonly serviceAccount?: string | undefined;
  /** The variables that the job's program needs; others that the Job has stay. */
  readonly env: Readonly<Record<string, string>>;
}

const LABELS = { "dbt-remote": "job" } as const;

/** Creates the Job or brings it up to date; writes nothing where it is so already. */
export async function ensureJob(client: RunClient, spec: JobSpec): Promise<"created" | "updated" | "unchanged"> {
  const name = `projects/${spec.projectId}/locations/${spec.location}/jobs/${spec.job}`;
  const found = await client.getJob(name);
  if (found === undefined) {
    await client.createJob(name, wanted(spec, {}));
    return "created";
  }
  const next = wanted(spec, found);
  if (same(next, { labels: found.labels, template: found.template })) return "unchanged";
  await client.updateJob(name, { ...found, ...next });
  return "updated";
}

function wanted(spec: JobSpec, found: RunJob): RunJob {
  const template: RunTaskTemplate = found.template?.template ?? {};
  const [container = {}, ...sidecars] = template.containers ?? [];
  const account = spec.serviceAccount ?? template.serviceAccount;
  return {
    labels: { ...found.labels, ...LABELS },
    template: {
      ...found.template,
      taskCount: 1,
      template: {
        ...template,
        containers: [containerOf(spec, container), ...sidecars],
        // Google's default is 3: dbt would run four times.
        maxRetries: 0,
        timeout: seconds(spec.timeoutMs),
        ...(account !== undefined && { serviceAccount: account }),
      },
    },
  };
}

function containerOf({ image, cpu, memory, env, timeoutMs }: JobSpec, found: RunContainer): RunContainer {
  const limits = {
    ...found.resources?.limits,
    ...(cpu !== undefined && { cpu }),
    ...(memory !== undefined && { memory }),
  };
  return {
    ...found,
    image,
    command: ["dbt-job"],
    env: merged(found.env ?? [], { ...env, DBT_JOB_TASK_TIMEOUT: seconds(timeoutMs) }),
    ...(Object.keys(limits).length > 0 && { resources: { ...found.resources, limits } }),
  };
}

/** The deployment's own variables, such as secrets of Secret Manager, keep their place. */
function merged(found: readonly RunEnvVar[], own: Readonly<Record<string, string>>): RunEnvVar[] {
  const kept = found.filter(({ name }) => !Object.hasOwn(own, name));
  return [...kept, ...Object.entries(own).map(([name, value]) => ({ name, value }))];
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)}s`;

/** Whether Google has said it so already: what it left out or added to by itself counts for nothing. */
function same(wantedPart: unknown, found: unknown): boolean {
  if (Array.isArray(wantedPart)) {
    const other = Array.isArray(found) ? found : [];
    return wantedPart.length === other.length && wantedPart.every((each, at) => same(each, other[at]));
  }
  if (typeof wantedPart === "object" && wantedPart !== null) {
    const other = (typeof found === "object" && found !== null ? found : {}) as Record<string, unknown>;
    return Object.entries(wantedPart).every(([key, value]) => same(value, other[key]));
  }
  return (
    wantedPart === found || ((wantedPart === 0 || wantedPart === false || wantedPart === "") && found === undefined)
  );
}

/** Folders that are mounted into a Job's container, such as secrets; none where Google can't be asked. */
export async function mountPaths(client: Pick<RunClient, "getJob">, job: string): Promise<readonly string[]> {
  const found = await client.getJob(job).catch(() => undefined);
  const containers = found?.template?.template?.containers ?? [];
  return containers.flatMap(({ volumeMounts = [] }) => volumeMounts.flatMap(({ mountPath }) => mountPath ?? []));
}
