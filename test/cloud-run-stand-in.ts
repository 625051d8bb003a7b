/**
 * Stands in for Cloud Run's REST interface, version 2, and really runs what is launched: Jobs, executions, tasks,
 * operations, services and who may call them. Answers as Google does: without zeros, an unknown field is a 400.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { IamPolicy, RunJob, RunService } from "../src/gcp/run.ts";
import type { ContainerImage } from "./cloud-run-containers.ts";
import {
  createExecutions,
  executionTasks,
  executionView,
  type LaunchFault,
  type StandInExecution,
} from "./cloud-run-executions.ts";
import {
  checkEnv,
  checkFields,
  durationMs,
  GoogleRefusal,
  invalid,
  JOB,
  notFound,
  operation,
  pruned,
} from "./cloud-run-fields.ts";

export interface RequestFault {
  /** Of the request's method and path. */
  readonly of: RegExp;
  readonly times: number;
  /** A status, a broken connection before or after the work is done, or a slow answer. */
  readonly as: number | "reset" | "lost-answer" | { readonly slowMs: number };
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

export async function startCloudRun(options: CloudRunOptions): Promise<CloudRunStandIn> {
  const accepts = options.accepts ?? ((token: string) => token.startsWith("ya29."));
  const jobs = new Map<string, RunJob & { readonly generation: string; readonly etag: string }>();
  const executions = createExecutions(options.folder, options.images);
  const requests: string[] = [];
  const faults: { -readonly [K in keyof RequestFault]: RequestFault[K] }[] = [];

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

  function answer(method: string, path: string, query: URLSearchParams, body: unknown): unknown {
    const [, name = path, verb = ""] = /^(.*?)(?::([A-Za-z]+))?$/.exec(path) ?? [];
    const parts = name.split("/");
    const kind = parts[4];
    if (kind === "jobs" && parts.length === 5 && method === "POST")
      return saveJob(`${name}/${query.get("jobId")}`, body, true);
    if (kind === "jobs" && parts.length === 6) {
      if (method === "POST" && verb === "run") return executions.run(name, jobs.get(name), body);
      if (method === "PATCH") return saveJob(name, body, false);
      if (method === "GET" && verb === "") return jobs.get(name) ?? refuse(notFound(name));
    }
    if (parts[6] === "executions") {
      if (parts.length === 7 && method === "GET") {
        const all = executions.all().filter(({ job }) => `${job}/executions` === name);
        return { executions: all.map(executionView) };
      }
      const execution = executions.find(parts.slice(0, 8).join("/"));
      if (execution === undefined) throw notFound(name);
      if (method === "POST" && verb === "cancel") return executions.cancel(name, body);
      if (method === "GET" && parts[8] === "tasks") return { tasks: executionTasks(execution) };
      if (method === "GET") return executionView(execution);
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
      return executions.all();
    },
    requests,
    job: (name) => jobs.get(name),
    nextLaunch: executions.nextLaunch,
    fail: (fault) => void faults.push({ ...fault }),
    remove(name) {
      executions.remove(name);
      jobs.delete(name);
    },
    async close() {
      executions.stopAll();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function refuse(refusal: GoogleRefusal): never {
  throw refusal;
}
