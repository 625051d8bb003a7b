/** A server's parts over a real State in a temporary folder, with a scripted job in place of dbt-job and no port of its own. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { InjectOptions, LightMyRequestResponse } from "fastify";
import type { RunAnswer, RunRequest } from "../src/api/schemas/runs.ts";
import { isTerminal, type Run } from "../src/core/run.ts";
import { createLocalExecutor, jobOutputPath } from "../src/executors/local.ts";
import { type Auth, createAuth } from "../src/server/auth.ts";
import { createService, type Service, type ServiceParams } from "../src/server/service.ts";
import { clearRoot, warehousePath } from "../src/server/workspaces.ts";
import { snapshotId } from "../src/snapshot/entry.ts";
import { openLocalState } from "../src/state/local/open.ts";
import type { State } from "../src/state/port.ts";
import { createStores, type Stores } from "../src/state/stores.ts";
import { root, tempFolder } from "./folders.ts";

export interface TestServiceOptions
  extends Partial<Pick<ServiceParams, "engine" | "patience" | "serverEnv" | "executor" | "isAlone">> {
  /** An earlier service's, as after a restart. */
  readonly dataDir?: string;
  readonly auth?: Auth;
  readonly settings?: Partial<ServiceParams["settings"]>;
  readonly jobPath?: string;
  /** False: nothing is launched before `service.start()`. */
  readonly started?: boolean;
}

export interface TestService {
  readonly service: Service;
  readonly app: Service["app"];
  readonly state: State;
  readonly stores: Stores;
  readonly dataDir: string;
  /** What was not expected. */
  readonly failures: unknown[];
  /** A request as a client sends it. */
  send(request: InjectOptions): Promise<LightMyRequestResponse>;
  /** Posts a run and expects it to be taken. */
  post(request: RunRequest, headers?: Readonly<Record<string, string>>): Promise<RunAnswer>;
  stop(): Promise<void>;
}

/** The app takes these for its own address. */
const PORT = 80;
export const SCRIPTED_JOB: string = join(root, "test", "scripted-job.ts");

export async function startService(options: TestServiceOptions = {}): Promise<TestService> {
  const dataDir = options.dataDir ?? tempFolder("data");
  const now = Date.now;
  const state = await openLocalState({ dataDir, now });
  const stores = createStores({ state, now, snapshotId });
  const failures: unknown[] = [];
  const executor =
    options.executor ??
    createLocalExecutor({
      nodePath: process.execPath,
      jobPath: options.jobPath ?? SCRIPTED_JOB,
      dataDir,
      env: async () => ({ DBT_SERVER_DATA_DIR: dataDir }),
    });
  const engine = {
    version: "1.11.0",
    adapters: ["duckdb"],
    requireAdapter: () => {},
    versionText: async () => "Core: 1.11.0\n",
  };
  const settings = {
    ...{ state: "local" as const, maxRuns: 4, runTimeoutMs: null, streamTimeoutMs: 60_000, profilesDir: undefined },
    ...options.settings,
  };
  const service = await createService({
    ...{ state, stores, executor, now, settings, version: "0.0.0", port: () => PORT },
    auth: options.auth ?? createAuth("none", null),
    engine: options.engine ?? (async () => engine),
    serverEnv: options.serverEnv ?? {},
    jobOutput: (runId) => jobOutputPath(dataDir, runId),
    warehousePath: (run) => warehousePath(dataDir, run),
    clearRoot: (run, root) => clearRoot(dataDir, run, root),
    onError: (error) => failures.push(error),
    patience: options.patience ?? {},
    isAlone: options.isAlone ?? true,
  });
  if (options.started !== false) await service.start();
  const send = (request: InjectOptions): Promise<LightMyRequestResponse> =>
    service.app.inject({ ...request, headers: { host: `localhost:${PORT}`, ...request.headers } });
  return {
    ...{ service, app: service.app, state, stores, dataDir, failures, send },
    async post(request, headers = {}) {
      const answer = await send({ method: "POST", url: "/api/v1/runs", payload: request, headers });
      if (answer.statusCode !== 202 && answer.statusCode !== 200) throw new Error(answer.body);
      return answer.json<RunAnswer>();
    },
    async stop() {
      await service.stop();
      await state.close();
    },
  };
}

/** One that starts nothing by itself, with a run that waits, for tests of what its routes answer. */
export async function serviceWithRun(): Promise<{ readonly server: TestService; readonly runId: string }> {
  const server = await startService({ started: false, jobPath: join(root, "test", "idle-job.ts") });
  const { run } = await server.post({ command: ["run"], files: projectFiles() });
  return { server, runId: run.id };
}

export const running = (run: Run): boolean => run.status === "running";
export const ended = (run: Run): boolean => isTerminal(run.status);

/** Waits until a run is so; fails where it ends otherwise. */
export async function runUntil(server: TestService, runId: string, holds: (run: Run) => boolean): Promise<Run> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const run = await server.stores.runs.require(runId);
    if (holds(run)) return run;
    assert.ok(Date.now() < deadline && !isTerminal(run.status), `run ${runId} is ${run.status}: ${run.message}`);
    await new Promise((resume) => setTimeout(resume, 20));
  }
}

/** An answer and, where it is an error, its code: said in a few words that show nothing of the server's inside. */
export async function answerTo(
  server: TestService,
  request: InjectOptions,
): Promise<{ status: number; body: string; code: string | undefined }> {
  const { statusCode, body } = await server.send(request);
  let code: string | undefined;
  if (statusCode >= 400) {
    const { error } = JSON.parse(body);
    assert.equal(typeof error.message, "string");
    assert.ok(error.message.length > 0 && error.message.length < 2000);
    assert.ok(!/\n\s+at |node:internal|\.ts:\d/.test(body), body);
    code = error.code;
  }
  return { status: statusCode, body, code };
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** The files of a small project, as the API takes them. `warehouse` is a DuckDB file, or null for a profile elsewhere. */
export function projectFiles(warehouse: string | null = null): NonNullable<RunRequest["files"]> {
  const output = warehouse === null ? "{type: postgres, password: hunter2}" : `{type: duckdb, path: ${warehouse}}`;
  return [
    { path: "dbt_project.yml", contentBase64: base64("name: shop\nprofile: shop\n") },
    { path: "models/orders.sql", contentBase64: base64("select 1 as id") },
    { path: "profiles.yml", contentBase64: base64(`shop:\n  target: dev\n  outputs:\n    dev: ${output}\n`) },
  ];
}

/** What the scripted job does, as the command that it runs. */
export interface Script {
  /** Lines to print, all at once. */
  readonly lines?: number;
  /** Waits until this file exists. */
  readonly until?: string;
  readonly exitCode?: number;
  /** Ends without a word: before it has claimed the run, while it runs, or after dbt has ended. */
  readonly dies?: "before" | "during" | "after";
  /** Goes on whatever is asked of it. */
  readonly stubborn?: boolean;
}

export function scripted(script: Script = {}, verb = "run"): RunRequest {
  return {
    command: [verb, "--vars", JSON.stringify(script)],
    files: projectFiles(),
    workspace: { name: randomUUID() },
  };
}
