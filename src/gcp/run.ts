/**
 * Cloud Run's REST interface, version 2, as far as dbt-remote uses it. Google leaves out what is zero, false or empty, and
 * writes 64-bit numbers as strings: every field may be missing.
 */
import { AppError } from "../core/errors.ts";
import { type AccessTokens, createAccessTokens } from "./auth.ts";
import { createRest, type Rest, type RestRequest } from "./rest.ts";
import type { RetryPolicy } from "./retry.ts";

export interface RunCondition {
  readonly type?: string;
  /** `CONDITION_PENDING`, `CONDITION_RECONCILING`, `CONDITION_FAILED`, `CONDITION_SUCCEEDED`. */
  readonly state?: string;
  readonly message?: string;
  /** Such as `CONTAINER_MISSING`. */
  readonly reason?: string;
  /** Such as `NON_ZERO_EXIT_CODE`, `CANCELLED`. */
  readonly executionReason?: string;
}

export interface RunExecution {
  /** `projects/P/locations/L/jobs/J/executions/E`. */
  readonly name?: string;
  readonly conditions?: readonly RunCondition[];
  readonly startTime?: string;
  readonly completionTime?: string;
  readonly runningCount?: number;
  readonly succeededCount?: number;
  readonly failedCount?: number;
  readonly cancelledCount?: number;
  readonly logUri?: string;
}

export interface RunTask {
  readonly name?: string;
  readonly conditions?: readonly RunCondition[];
  readonly lastAttemptResult?: {
    readonly status?: { readonly code?: number; readonly message?: string };
    readonly exitCode?: number;
    readonly termSignal?: number;
  };
}

export interface RunEnvVar {
  readonly name: string;
  readonly value?: string;
  /** A secret of Secret Manager, left as it is. */
  readonly valueSource?: unknown;
}

export interface RunContainer {
  readonly name?: string;
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly RunEnvVar[];
  readonly resources?: { readonly limits?: Readonly<Record<string, string>> };
  readonly volumeMounts?: readonly { readonly name?: string; readonly mountPath?: string }[];
}

export interface RunTaskTemplate {
  readonly containers?: readonly RunContainer[];
  readonly maxRetries?: number;
  /** Such as `600s`. */
  readonly timeout?: string;
  readonly serviceAccount?: string;
}

export interface RunJob {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly template?: {
    readonly taskCount?: number;
    readonly parallelism?: number;
    readonly template?: RunTaskTemplate;
  };
  readonly etag?: string;
  readonly terminalCondition?: RunCondition;
}

export interface RunService {
  /** `projects/P/locations/L/services/S`. */
  readonly name?: string;
  readonly uri?: string;
  readonly urls?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly description?: string;
  /** True where Cloud Run lets in everyone, whatever the policy says. */
  readonly invokerIamDisabled?: boolean;
}

export interface IamPolicy {
  readonly bindings?: readonly { readonly role?: string; readonly members?: readonly string[] }[];
}

/** What one execution has in place of what its Job says: variables are added to the Job's. */
export interface RunOverrides {
  readonly containerOverrides?: readonly {
    readonly env?: readonly { readonly name: string; readonly value: string }[];
    readonly args?: readonly string[];
  }[];
  readonly taskCount?: number;
  /** Such as `600s`. */
  readonly timeout?: string;
}

/** Names are Google's full ones, `projects/P/locations/L/…`. Rejects with `AppError` for what is no answer. */
export interface RunClient {
  /** Begins an execution. Where the answer was lost on the way, it may begin two. */
  runJob(job: string, overrides: RunOverrides): Promise<RunExecution>;
  /** Undefined where there is none, or no longer. */
  getExecution(execution: string): Promise<RunExecution | undefined>;
  /** Also where it has ended already, or is not there. */
  cancelExecution(execution: string): Promise<void>;
  listTasks(execution: string): Promise<readonly RunTask[]>;
  getJob(job: string): Promise<RunJob | undefined>;
  /** Resolves when Google has taken it over. */
  createJob(job: string, resource: RunJob): Promise<void>;
  /** Replaces the whole of it; with `etag` only where nobody came in between. */
  updateJob(job: string, resource: RunJob): Promise<void>;
  /** Of `projects/P/locations/L`. */
  listServices(parent: string): Promise<readonly RunService[]>;
  getService(service: string): Promise<RunService | undefined>;
  getServicePolicy(service: string): Promise<IamPolicy>;
}

export interface RunClientParams {
  readonly rest: Rest;
  /** Without a slash at its end. */
  readonly baseUrl?: string;
}

export const RUN_URL = "https://run.googleapis.com";
const FIRST_POLL_MS = 100;
const LONGEST_POLL_MS = 2_000;
const OPERATION_LIMIT_MS = 120_000;
const DEVELOPER = "roles/run.developer on the Job (it holds run.jobs.runWithOverrides)";
const VIEWER = "roles/run.viewer";

interface Operation {
  readonly name?: string;
  readonly done?: boolean;
  readonly error?: { readonly message?: string };
  readonly metadata?: unknown;
}

export function createRunClient({ rest, baseUrl = RUN_URL }: RunClientParams): RunClient {
  type Call = Pick<RestRequest, "method" | "doing" | "needs" | "answers"> & {
    readonly path: string;
    readonly body?: object;
  };

  async function call<T>({ path, body, ...request }: Call): Promise<{ readonly status: number; readonly data: T }> {
    const answer = await rest.request({
      ...request,
      url: `${baseUrl}/v2/${path}`,
      isJson: true,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    // An empty answer is one without fields.
    return { status: answer.status, data: (answer.json() ?? {}) as T };
  }

  async function find<T>(path: string, doing: string, needs: string): Promise<T | undefined> {
    const { status, data } = await call<T>({ method: "GET", path, doing, needs, answers: [404] });
    return status === 404 ? undefined : data;
  }

  async function list<T>(path: string, field: string, doing: string): Promise<T[]> {
    const all: T[] = [];
    for (let token = ""; ; ) {
      const query = token === "" ? "" : `?pageToken=${encodeURIComponent(token)}`;
      const { data } = await call<Record<string, unknown>>({ method: "GET", path: path + query, doing, needs: VIEWER });
      all.push(...((data[field] ?? []) as T[]));
      token = String(data["nextPageToken"] ?? "");
      if (token === "") return all;
    }
  }

  async function finished(operation: Operation, doing: string): Promise<void> {
    const giveUpAtMs = performance.now() + OPERATION_LIMIT_MS;
    let current = operation;
    for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_POLL_MS)) {
      if (current.error !== undefined) {
        throw new AppError("state_unavailable", `Google could not finish ${doing}: ${current.error.message}`);
      }
      if (current.done === true || current.name === undefined || performance.now() > giveUpAtMs) return;
      await new Promise((resume) => setTimeout(resume, pauseMs));
      current = (await find<Operation>(current.name, doing, VIEWER)) ?? { done: true };
    }
  }

  return {
    async runJob(job, overrides) {
      const doing = `launching the Job ${job}`;
      const { data } = await call<Operation>({
        ...{ method: "POST", path: `${job}:run`, body: { overrides }, doing, needs: DEVELOPER },
      });
      // Named at once, long before the operation is done.
      return (data.metadata ?? {}) as RunExecution;
    },
    getExecution: (execution) => find(execution, `reading the execution ${execution}`, VIEWER),
    async cancelExecution(execution) {
      const doing = `cancelling the execution ${execution}`;
      const answers = [400, 404, 409];
      await call({ method: "POST", path: `${execution}:cancel`, body: {}, doing, needs: DEVELOPER, answers });
    },
    listTasks: (execution) => list(`${execution}/tasks`, "tasks", `listing the tasks of ${execution}`),
    getJob: (job) => find(job, `reading the Job ${job}`, VIEWER),
    async createJob(job, resource) {
      const [, parent = "", id = ""] = /^(.*)\/jobs\/([^/]+)$/.exec(job) ?? [];
      const doing = `making the Job ${job}`;
      const path = `${parent}/jobs?jobId=${encodeURIComponent(id)}`;
      // Made by another meanwhile: what is there is then brought up to date.
      const request = { method: "POST", path, body: resource, doing, needs: DEVELOPER, answers: [409] } as const;
      const { status, data } = await call<Operation>(request);
      if (status !== 409) await finished(data, doing);
    },
    async updateJob(job, resource) {
      const doing = `updating the Job ${job}`;
      const { data } = await call<Operation>({ method: "PATCH", path: job, body: resource, doing, needs: DEVELOPER });
      await finished(data, doing);
    },
    listServices: (parent) => list(`${parent}/services`, "services", `listing the services of ${parent}`),
    getService: (service) => find(service, `reading the service ${service}`, VIEWER),
    async getServicePolicy(service) {
      const doing = `reading who may call ${service}`;
      return (await call<IamPolicy>({ method: "GET", path: `${service}:getIamPolicy`, doing, needs: VIEWER })).data;
    },
  };
}

export interface ConnectRunParams {
  /** Of the process; `CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN` names another base URL, as for gcloud. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly now: () => number;
  /** Default: those of the environment, as Google's own tools find them. */
  readonly tokens?: AccessTokens;
  readonly retry?: RetryPolicy;
  readonly fetch?: typeof fetch;
}

/** Somebody waits for a launch, and looks are repeated by themselves. */
const SHORT: RetryPolicy = { giveUpAfterMs: 20_000, firstPauseMs: 200, maxPauseMs: 3_000 };

/** A client as the environment of the process says; talks to nobody yet. */
export function connectRun({ env, home, now, tokens, retry = SHORT, fetch: send }: ConnectRunParams): RunClient {
  const given = env["CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN"];
  const sending = send === undefined ? {} : { fetch: send };
  const rest = createRest({
    tokens: tokens ?? createAccessTokens({ env, home, now, ...sending }),
    retry,
    ...sending,
  });
  return createRunClient({ rest, ...(given !== undefined && given !== "" && { baseUrl: given.replace(/\/+$/, "") }) });
}
