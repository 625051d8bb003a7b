/** What Cloud Run's interface takes and refuses, as its discovery document and its answers have it. */
import { randomBytes } from "node:crypto";

/** An answer of Google's that is an error. */
export class GoogleRefusal extends Error {
  readonly httpStatus: number;
  readonly status: string;
  constructor(httpStatus: number, status: string, message: string) {
    super(message);
    this.httpStatus = httpStatus;
    this.status = status;
  }
}

export const invalid = (message: string): GoogleRefusal => new GoogleRefusal(400, "INVALID_ARGUMENT", message);
export const notFound = (name: string): GoogleRefusal =>
  new GoogleRefusal(404, "NOT_FOUND", `Resource '${name}' was not found.`);

/** `true`: anything; a shape: an object of these fields; in a list: several of them. */
type Shape = true | { readonly [field: string]: Shape } | readonly [Shape];

const OUTPUT = Object.fromEntries(
  [
    ...[
      "uid",
      "generation",
      "createTime",
      "updateTime",
      "deleteTime",
      "expireTime",
      "creator",
      "lastModifier",
      "client",
    ],
    ...["clientVersion", "launchStage", "binaryAuthorization", "observedGeneration", "terminalCondition", "conditions"],
    ...["executionCount", "latestCreatedExecution", "reconciling", "satisfiesPzs", "etag", "runExecutionToken"],
  ].map((name) => [name, true as const]),
);
const CONTAINER: Shape = {
  ...{ name: true, image: true, command: true, args: true, ports: true, workingDir: true, dependsOn: true },
  ...{ livenessProbe: true, startupProbe: true, baseImageUri: true, buildInfo: true },
  env: [{ name: true, value: true, valueSource: true }],
  resources: { limits: true, cpuIdle: true, startupCpuBoost: true },
  volumeMounts: [{ name: true, mountPath: true, subPath: true }],
};
const TASK: Shape = {
  ...{ volumes: true, maxRetries: true, timeout: true, serviceAccount: true, executionEnvironment: true },
  ...{ encryptionKey: true, vpcAccess: true, nodeSelector: true, gpuZonalRedundancyDisabled: true },
  containers: [CONTAINER],
};
export const JOB: Shape = {
  ...{ ...OUTPUT, name: true, labels: true, annotations: true },
  template: {
    labels: true,
    annotations: true,
    parallelism: true,
    taskCount: true,
    client: true,
    clientVersion: true,
    template: TASK,
  },
};
export const RUN_REQUEST: Shape = {
  ...{ validateOnly: true, etag: true },
  overrides: {
    ...{ taskCount: true, timeout: true },
    containerOverrides: [
      { name: true, args: true, clearArgs: true, env: [{ name: true, value: true, valueSource: true }] },
    ],
  },
};
export const EMPTY: Shape = { validateOnly: true, etag: true };

/** Throws as Google answers an unknown field. */
export function checkFields(value: unknown, shape: Shape, place = ""): void {
  if (shape === true) return;
  if (Array.isArray(shape)) {
    if (!Array.isArray(value)) throw invalid(`Invalid value at '${place}' (list expected)`);
    for (const [at, each] of value.entries()) checkFields(each, (shape as readonly [Shape])[0], `${place}[${at}]`);
    return;
  }
  if (typeof value !== "object" || value === null) throw invalid(`Invalid value at '${place}'`);
  for (const [name, each] of Object.entries(value)) {
    const inner = (shape as { readonly [field: string]: Shape })[name];
    if (inner === undefined) {
      throw invalid(`Invalid JSON payload received. Unknown name "${name}" at '${place}': Cannot find field.`);
    }
    checkFields(each, inner, place === "" ? name : `${place}.${name}`);
  }
}

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
}

export function checkEnv(env: readonly EnvVar[]): void {
  for (const { name } of env) {
    if (!/^(CLOUD_RUN_|K_|X_GOOGLE_)|^PORT$/.test(name) && /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(name)) continue;
    throw invalid(
      `The following reserved env names were provided: ${name}. These values are automatically set by the system.`,
    );
  }
}

/** `600s`, and nothing else that people write. */
export function durationMs(value: unknown, field: string): number {
  const match = typeof value === "string" ? /^(\d+(?:\.\d{1,9})?)s$/.exec(value) : null;
  if (match === null)
    throw invalid(`Invalid value at '${field}' (type.googleapis.com/google.protobuf.Duration), "${value}"`);
  return Number(match[1]) * 1000;
}

/** Without what is zero, false or empty, as Google writes JSON. */
export function pruned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(pruned);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, each]) => {
      const isEmpty = each === 0 || each === false || each === "" || each === undefined || each === null;
      return isEmpty || (Array.isArray(each) && each.length === 0) ? [] : [[key, pruned(each)]];
    }),
  );
}

/** The answer to what changes or launches a resource. */
export const operation = (name: string, metadata: unknown): unknown => ({
  name: `${name.split("/").slice(0, 4).join("/")}/operations/${randomBytes(8).toString("hex")}`,
  metadata,
});
