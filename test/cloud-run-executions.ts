/** The executions of the stand-in for Cloud Run: containers that really run, told of as Google tells of them. */
import { randomBytes } from "node:crypto";
import type { RunCondition, RunJob } from "../src/gcp/run.ts";
import { type Container, type ContainerEnd, type ContainerImage, startContainer } from "./cloud-run-containers.ts";
import {
  checkEnv,
  checkFields,
  durationMs,
  EMPTY,
  type EnvVar,
  invalid,
  notFound,
  operation,
  RUN_REQUEST,
} from "./cloud-run-fields.ts";

/** What becomes of the next execution, instead of running. */
export type LaunchFault = "never-starts" | "image-not-found";

export interface StandInExecution {
  readonly name: string;
  /** As it was asked for. */
  readonly overrides: unknown;
  /** Undefined where it never began. */
  readonly container: Container | undefined;
  readonly hasEnded: boolean;
}

interface Executions {
  all(): readonly Execution[];
  find(name: string): Execution | undefined;
  /** Launches an execution of a Job, and answers as Google does. */
  run(name: string, job: RunJob | undefined, body: unknown): unknown;
  cancel(name: string, body: unknown): unknown;
  nextLaunch(fault: LaunchFault): void;
  /** Deletes an execution, or all of a Job's. */
  remove(name: string): void;
  stopAll(): void;
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

/** No execution as yet: their containers have their folders in `folder`, and their programs from `images`. */
export function createExecutions(folder: string, images: Readonly<Record<string, ContainerImage>>): Executions {
  const executions = new Map<string, Execution>();
  const launchFaults: LaunchFault[] = [];

  function run(name: string, job: RunJob | undefined, body: unknown): unknown {
    checkFields(body, RUN_REQUEST);
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
    const image = images[container?.image ?? ""];
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
      const started = startContainer(folder, { image, command, env, timeoutMs });
      execution.container = started;
      void started.ended.then((end) => finish(execution, end));
    }
    return operation(name, executionView(execution));
  }

  function cancel(name: string, body: unknown): unknown {
    checkFields(body, EMPTY);
    const execution = executions.get(name);
    if (execution === undefined) throw notFound(name);
    if (execution.hasEnded) throw invalid(`Execution '${name}' is already completed.`);
    if (execution.container !== undefined) execution.container.stop("cancelled");
    else finish(execution, { exitCode: null, signal: null, cause: "cancelled" });
    return operation(name, executionView(execution));
  }

  return {
    run,
    cancel,
    all: () => [...executions.values()],
    find: (name) => executions.get(name),
    nextLaunch: (fault) => void launchFaults.push(fault),
    remove(name) {
      for (const execution of executions.values()) {
        if (execution.name !== name && execution.job !== name) continue;
        execution.container?.kill("instance");
        executions.delete(execution.name);
      }
    },
    stopAll() {
      for (const { container } of executions.values()) container?.kill("instance");
    },
  };
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

/** As its resource is shown. */
export const executionView = ({
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

/** Its one task. */
export const executionTasks = ({ name, end, conditions }: Execution): object[] => [
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
