/**
 * Stands in for Cloud Run's REST interface, version 2, and really runs what is launched: Jobs, executions, tasks,
 * operations, services and who may call them. Answers as Google does: without zeros, an unknown field is a 400.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { IamPolicy, RunCondition, RunJob, RunService } from "../src/gcp/run.ts";
import { type Container, type ContainerEnd, type ContainerImage, startContainer } from "./cloud-run-containers.ts";
import {
  checkEnv,
  checkFields,
  durationMs,
  EMPTY,
  type EnvVar,
  GoogleRefusal,
  invalid,
  JOB,
  notFound,
  pruned,
  RUN_REQUEST,
} from "./cloud-run-fields.ts";

/** What becomes of the next execution, instead of running. */
export type LaunchFault = "never-starts" | "image-not-found";

export interface RequestFault {
  /** Of the request's method and path. */
  readonly of: RegExp;
  readonly times: number;
  /** A status, a broken connection before or after the work is done, or a slow answer. */
  readonly as: number | "reset" | "lost-answer" | { readonly slowMs: number };
}

export interface StandInExecution {
  readonly name: string;
  /** As it was asked for. */
  readonly overrides: unknown;
  /** Undefined where it never began. */
  readonly container: Container | undefined;
  readonly hasEnded: boolean;
}

export interface CloudRunOptions {
  /** What stands for the containers' file systems. */
  readonly folder: string;
  /** By the name that Jobs call it. */
  readonly images: Readonly<Record<string, ContainerImage>>;
  /** Access tokens that are accepted. Default: those that begin as Google's. */
  readonly accepts?: (token: string) => boolean;
  readonly services?: readonly RunService[];
  readonly policies?: Readonly<Record<string, IamPolicy>>;
}

export interface CloudRunStandIn {
  /** For `CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN`. */
  readonly url: string;
  readonly executions: readonly StandInExecution[];
  /** `METHOD path` of every request. */
  readonly requests: readonly string[];
  job(name: string): RunJob | undefined;
  nextLaunch(fault: LaunchFault): void;
  fail(fault: RequestFault): void;
  /** Deletes an execution, or all of a Job's with it. */
  remove(name: string): void;
  close(): Promise<void>;
}

interface Execution extends StandInExecution {
  readonly job: string;
  readonly createTime: string;
  container: Container | undefined;
  hasEnded: boolean;
  end: ContainerEnd | undefined;
  completionTime: string | undefined;
  conditions: RunCondition[];
}

const NO_IMAGE = (image: string): string => `Image '${image}' not found.`;
const QUOTA = "Quota exceeded for total allowable CPU per project per region.";

export async function startCloudRun(options: CloudRunOptions): Promise<CloudRunStandIn> {
  const accepts = options.accepts ?? ((token: string) => token.startsWith("ya29."));
  const jobs = new Map<string, RunJob & { readonly generation: string; readonly etag: string }>();
  const executions = new Map<string, Execution>();
  const requests: string[] = [];
  const faults: { -readonly [K in keyof RequestFault]: RequestFault[K] }[] = [];
  const launchFaults: LaunchFault[] = [];

  function saveJob(name: string, body: unknown, isNew: boolean): unknown {
    checkFields(body, JOB);
    const found = jobs.get(name);
    if (isNew && found !== undefined)
      throw new GoogleRefusal(409, "ALREADY_EXISTS", `Resource '${name}' already exists.`);
    if (!isNew && found === undefined) throw notFound(name);
    const job = body as RunJob;
    if (job.etag !== undefined && job.etag !== found?.etag) {
      throw new GoogleRefusal(409, "ABORTED", `Conflict for resource '${name}': version mismatch.`);
    }
    const task = job.template?.template;
    const container = task?.containers?.[0];
    if (container?.image === undefined) throw invalid("job.template.template.containers[0].image: required");
    checkEnv(container.env ?? []);
    if (task?.timeout !== undefined) durationMs(task.timeout, "job.template.template.timeout");
    const generation = String(Number(found?.generation ?? 0) + 1);
    const terminalCondition = { type: "Ready", state: "CONDITION_SUCCEEDED" };
    jobs.set(name, { ...job, name, generation, etag: `"${randomBytes(6).toString("hex")}"`, terminalCondition });
    return operation(name, undefined);
  }

  const operation = (name: string, metadata: unknown): unknown => ({
    name: `${name.split("/").slice(0, 4).join("/")}/operations/${randomBytes(8).toString("hex")}`,
    metadata,
  });

  function run(name: string, body: unknown): unknown {
    checkFields(body, RUN_REQUEST);
    const job = jobs.get(name);
    if (job === undefined) throw notFound(name);
    type Overrides = {
      containerOverrides?: { env?: EnvVar[]; args?: string[] }[];
      taskCount?: number;
      timeout?: string;
    };
    const overrides = (body as { overrides?: Overrides }).overrides ?? {};
    const [override = {}] = overrides.containerOverrides ?? [];
    checkEnv(override.env ?? []);
    const task = job.template?.template;
    const container = task?.containers?.[0];
    const id = `${name.split("/").at(-1)}-${randomBytes(3).toString("hex").slice(0, 5)}`;
    const execution: Execution = {
      ...{ name: `${name}/executions/${id}`, job: name, overrides, createTime: new Date().toISOString() },
      ...{ container: undefined, hasEnded: false, end: undefined, completionTime: undefined },
      conditions: [
        { type: "Completed", state: "CONDITION_RECONCILING", message: "Waiting for execution to complete." },
      ],
    };
    executions.set(execution.name, execution);
    const image = options.images[container?.image ?? ""];
    const fault = image === undefined ? "image-not-found" : launchFaults.shift();
    if (fault === "never-starts") {
      execution.conditions.push({ type: "ResourcesAvailable", state: "CONDITION_PENDING", message: QUOTA });
    } else if (fault === "image-not-found" || image === undefined) {
      const message = NO_IMAGE(container?.image ?? "");
      execution.conditions = [
        { type: "Completed", state: "CONDITION_FAILED", message, executionReason: "IMAGE_PULL_BACKOFF" },
        { type: "ContainerReady", state: "CONDITION_FAILED", reason: "CONTAINER_MISSING", message },
      ];
      execution.completionTime = new Date().toISOString();
      execution.hasEnded = true;
    } else {
      const values = [...(container?.env ?? []), ...(override.env ?? [])];
      const env = {
        ...Object.fromEntries(values.map(({ name: key, value }) => [key, value ?? ""])),
        ...{ CLOUD_RUN_JOB: name.split("/").at(-1) ?? "", CLOUD_RUN_EXECUTION: id },
        ...{ CLOUD_RUN_TASK_INDEX: "0", CLOUD_RUN_TASK_ATTEMPT: "0", CLOUD_RUN_TASK_COUNT: "1" },
      };
      const timeoutMs = durationMs(overrides.timeout ?? task?.timeout ?? "600s", "timeout");
      const command = [...(container?.command ?? []), ...(override.args ?? container?.args ?? [])];
      const started = startContainer(options.folder, { image, command, env, timeoutMs });
      execution.container = started;
      void started.ended.then((end) => finish(execution, end));
    }
    return operation(name, view(execution));
  }

  function finish(execution: Execution, end: ContainerEnd): void {
    execution.hasEnded = true;
    execution.end = end;
    execution.completionTime = new Date().toISOString();
    const succeeded = end.cause === "itself" && end.exitCode === 0;
    execution.conditions = [
      {
        type: "Completed",
        state: succeeded ? "CONDITION_SUCCEEDED" : "CONDITION_FAILED",
        ...(!succeeded && {
          message: `Task ${execution.name.split("/").at(-1)}-task0 failed with message: ${words(end)}`,
        }),
        ...(!succeeded && { executionReason: end.cause === "cancelled" ? "CANCELLED" : "NON_ZERO_EXIT_CODE" }),
      },
    ];
  }

  const view = ({
    name,
    job,
    createTime,
    completionTime,
    conditions,
    container,
    end,
    hasEnded,
  }: Execution): object => ({
    ...{ name, job, createTime, completionTime, conditions, uid: name, generation: "1", taskCount: 1 },
    ...(container !== undefined && { startTime: createTime }),
    runningCount: container !== undefined && !hasEnded ? 1 : 0,
    succeededCount: end?.cause === "itself" && end.exitCode === 0 ? 1 : 0,
    failedCount: hasEnded && end?.cause !== "cancelled" && !(end?.cause === "itself" && end.exitCode === 0) ? 1 : 0,
    cancelledCount: end?.cause === "cancelled" ? 1 : 0,
    logUri: `https://console.cloud.google.com/logs/viewer?execution=${encodeURIComponent(name)}`,
  });

  const tasksOf = ({ name, end, conditions }: Execution): object[] => [
    {
      name: `${name}/tasks/${name.split("/").at(-1)}-task0`,
      conditions,
      ...(end !== undefined && {
        lastAttemptResult: {
          ...(words(end) !== "" && { status: { code: 10, message: words(end) } }),
          ...(end.signal === null ? { exitCode: end.exitCode } : { termSignal: end.signal }),
        },
      }),
    },
  ];

  function cancel(name: string, body: unknown): unknown {
    checkFields(body, EMPTY);
    const execution = executions.get(name);
    if (execution === undefined) throw notFound(name);
    if (execution.hasEnded) throw invalid(`Execution '${name}' is already completed.`);
    if (execution.container !== undefined) execution.container.stop("cancelled");
    else finish(execution, { exitCode: null, signal: null, cause: "cancelled" });
    return operation(name, view(execution));
  }

  function answer(method: string, path: string, query: URLSearchParams, body: unknown): unknown {
    const [, name = path, verb = ""] = /^(.*?)(?::([A-Za-z]+))?$/.exec(path) ?? [];
    const parts = name.split("/");
    const kind = parts[4];
    if (kind === "jobs" && parts.length === 5 && method === "POST")
      return saveJob(`${name}/${query.get("jobId")}`, body, true);
    if (kind === "jobs" && parts.length === 6) {
      if (method === "POST" && verb === "run") return run(name, body);
      if (method === "PATCH") return saveJob(name, body, false);
      if (method === "GET" && verb === "") return jobs.get(name) ?? refuse(notFound(name));
    }
    if (parts[6] === "executions") {
      if (parts.length === 7 && method === "GET") {
        const all = [...executions.values()].filter(({ job }) => `${job}/executions` === name);
        return { executions: all.map(view) };
      }
      const execution = executions.get(parts.slice(0, 8).join("/"));
      if (execution === undefined) throw notFound(name);
      if (method === "POST" && verb === "cancel") return cancel(name, body);
      if (method === "GET") return parts[8] === "tasks" ? { tasks: tasksOf(execution) } : view(execution);
    }
    if (kind === "operations" && method === "GET") return { name, done: true };
    if (kind === "services" && parts.length === 5 && method === "GET") {
      return { services: (options.services ?? []).filter((service) => service.name?.startsWith(`${name}/`)) };
    }
    if (kind === "services" && verb === "getIamPolicy") return options.policies?.[name] ?? {};
    throw new GoogleRefusal(404, "NOT_FOUND", "The requested URL was not found on this server.");
  }

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = request;
    const { pathname, searchParams } = new URL(url, "http://stand-in");
    requests.push(`${method} ${pathname}`);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const at = faults.findIndex(({ of, times }) => times > 0 && of.test(`${method} ${pathname}`));
    const fault = faults[at];
    if (fault !== undefined) fault.times -= 1;
    const send = (status: number, data: unknown): void => {
      if (fault?.as === "lost-answer") return void request.socket.resetAndDestroy();
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(pruned(data)));
    };
    const refuseWith = ({ httpStatus: code, status, message }: GoogleRefusal): void =>
      send(code, { error: { code, message, status } });
    if (fault?.as === "reset") return void request.socket.resetAndDestroy();
    if (typeof fault?.as === "number") {
      return refuseWith(new GoogleRefusal(fault.as, "UNAVAILABLE", `The service says ${fault.as}.`));
    }
    if (typeof fault?.as === "object")
      await new Promise((resume) => setTimeout(resume, (fault.as as { slowMs: number }).slowMs));
    try {
      const token = /^Bearer (.+)$/.exec(headers.authorization ?? "")?.[1] ?? "";
      if (!accepts(token)) {
        const message = "Request had invalid authentication credentials. Expected OAuth 2 access token.";
        throw new GoogleRefusal(401, "UNAUTHENTICATED", message);
      }
      const text = Buffer.concat(chunks).toString();
      send(200, answer(method, pathname.replace(/^\/v2\//, ""), searchParams, text === "" ? {} : JSON.parse(text)));
    } catch (error) {
      refuseWith(error instanceof GoogleRefusal ? error : new GoogleRefusal(500, "INTERNAL", String(error)));
    }
  }

  const server = createServer((request, response) => {
    void respond(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    get executions() {
      return [...executions.values()];
    },
    requests,
    job: (name) => jobs.get(name),
    nextLaunch: (fault) => void launchFaults.push(fault),
    fail: (fault) => void faults.push({ ...fault }),
    remove(name) {
      for (const execution of executions.values()) {
        if (execution.name !== name && execution.job !== name) continue;
        execution.container?.kill("instance");
        executions.delete(execution.name);
      }
      jobs.delete(name);
    },
    async close() {
      for (const { container } of executions.values()) container?.kill("instance");
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function refuse(refusal: GoogleRefusal): never {
  throw refusal;
}

/** As Google words it. */
function words({ cause, exitCode, signal }: ContainerEnd): string {
  switch (cause) {
    case "memory":
      return "Memory limit of 512 MiB exceeded with 530 MiB used. Consider increasing the memory limit, see https://cloud.google.com/run/docs/configuring/memory-limits";
    case "timeout":
      return "The configured timeout was reached.";
    case "cancelled":
      return "The execution was cancelled by a user.";
    case "instance":
      return "The instance was terminated.";
    case "itself":
      if (signal !== null) return `The container was terminated by signal ${signal}.`;
      return exitCode === 0 ? "" : "The container exited with an error.";
  }
}
