/** What one run asks of Google, from its post to its end: server and job as they are, over the emulators, dbt scripted. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { DbtInvocation } from "../src/dbt/port.ts";
import type { Executor } from "../src/executors/port.ts";
import { connectGcp } from "../src/gcp/connect.ts";
import { executeRun, type JobContext } from "../src/job/execute-run.ts";
import { createStopSwitch } from "../src/job/stopping.ts";
import { createAuth } from "../src/server/auth.ts";
import { CLOUD_PATIENCE } from "../src/server/reaper.ts";
import { createService } from "../src/server/service.ts";
import { snapshotId } from "../src/snapshot/entry.ts";
import { logFolder } from "../src/state/gcp/log-pieces.ts";
import { openGcpState } from "../src/state/gcp/open.ts";
import { createStores } from "../src/state/stores.ts";
import { containerSettings } from "./container-settings.ts";
import { countUse, type UseCounts } from "./count-use.ts";
import { gcpPlace } from "./emulators.ts";
import { tempFolder } from "./folders.ts";
import { until } from "./programs.ts";
import { type ScriptedDbt, scriptedDbt } from "./scripted-dbt.ts";
import { projectFiles } from "./service-fixture.ts";

export interface RunCostParams extends ScriptedDbt {
  /** Whether somebody follows its log through a server. */
  readonly isFollowed: boolean;
}

export interface RunCost extends RunCostParams {
  /** From the post to the end. */
  readonly seconds: number;
  /** Of server and job together. */
  readonly counts: UseCounts;
  /** Of them, up to dbt's start. */
  readonly untilDbt: UseCounts;
  /** Of the log as people read it, and of what was written for it. */
  readonly logBytes: number;
  readonly logBytesWritten: number;
  readonly logObjects: number;
  readonly eventBytes: number;
  readonly eventBytesWritten: number;
  /** The most writes that one document or object got within 10 s. */
  readonly busiest: { readonly writes: number; readonly name: string };
  /** What goes to Cloud Logging. */
  readonly cloudLog: { readonly entries: number; readonly bytes: number };
}

export async function measureRunCost(params: RunCostParams): Promise<RunCost> {
  const place = await gcpPlace();
  const use = countUse();
  const open = async () => {
    const clients = await connectGcp({ ...place, env: { ...place.env }, home: "/", now: Date.now, onUse: use.onUse });
    return { ...clients, state: openGcpState({ ...clients, now: Date.now }) };
  };
  const [job, server] = [await open(), await open()];
  const cloudLog = { entries: 0, bytes: 0 };
  const print = (line: string): void => {
    cloudLog.entries += 1;
    cloudLog.bytes += Buffer.byteLength(line);
  };
  let untilDbt: UseCounts | undefined;
  const onStart = (): void => {
    untilDbt = use.counts();
  };
  const executor = executorOf({ job: job.state, dbt: params, print, onStart, ...place });
  let port = 0;
  const service = await createService({
    ...{ state: server.state, executor, stores: createStores({ state: server.state, now: Date.now, snapshotId }) },
    ...{ auth: createAuth("none", null), version: "0.0.0", port: () => port, now: Date.now, serverEnv: {} },
    settings: { state: "gcp", maxRuns: 4, runTimeoutMs: null, streamTimeoutMs: 600_000, profilesDir: undefined },
    engine: async () => ({ version: "1.11.16", adapters: [], requireAdapter: () => {}, versionText: async () => "" }),
    jobOutput: () => "/nonexistent",
    clearRoot: () => undefined,
    warehousePath: () => null,
    onError: (error) => console.error(error),
    ...{ patience: CLOUD_PATIENCE, isAlone: false, tickMs: 10_000 },
  });
  try {
    service.app.server.listen(0, "127.0.0.1");
    await once(service.app.server, "listening");
    port = (service.app.server.address() as AddressInfo).port;
    await service.start();
    const startedAtMs = performance.now();
    const api = `http://127.0.0.1:${port}/api/v1/runs`;
    const body = JSON.stringify({ command: ["build"], files: projectFiles() });
    const posted = await fetch(api, { method: "POST", headers: { "content-type": "application/json" }, body });
    const { run } = (await posted.json()) as { run: { id: string } };
    const headers = { accept: "text/event-stream" };
    if (params.isFollowed) await (await fetch(`${api}/${run.id}/log`, { headers })).arrayBuffer();
    const stores = createStores({ state: job.state, now: Date.now, snapshotId });
    await until("the run's end", () => executor.ended.has(run.id), params.forMs + 60_000);
    const seconds = (performance.now() - startedAtMs) / 1000;
    const { status, message } = await stores.runs.require(run.id);
    if (status !== "success") throw new Error(`the run is ${status}: ${message}`);
    const counts = use.counts();
    const [log, events] = await Promise.all([sizeOf("log"), sizeOf("events")]);
    return {
      ...{ ...params, seconds, counts, untilDbt: untilDbt ?? counts, cloudLog, busiest: use.busiest(10_000) },
      ...{ logBytes: log.bytes, logBytesWritten: log.written, logObjects: log.objects },
      ...{ eventBytes: events.bytes, eventBytesWritten: events.written },
    };

    async function sizeOf(name: "log" | "events") {
      const folder = logFolder(run.id, name);
      const written = use.counts((each) => each.startsWith(folder)).objectBytes;
      const objects = (await job.storage.list({ prefix: folder })).length;
      const { seal } = await job.state.logs.read(run.id, name, 0, 1);
      return { bytes: seal?.finalOffset ?? 0, written, objects };
    }
  } finally {
    await service.stop();
    await Promise.all([job.state.close(), server.state.close()]);
  }
}

interface ExecutorParams extends Pick<Awaited<ReturnType<typeof gcpPlace>>, "projectId" | "bucket"> {
  readonly job: JobContext["state"];
  readonly dbt: ScriptedDbt;
  readonly print: (line: string) => void;
  /** dbt is about to start. */
  readonly onStart: () => void;
}

/** Runs the job in this process, as a container of its own would. */
function executorOf({ job: state, dbt, print, onStart, projectId, bucket }: ExecutorParams) {
  const ended = new Set<string>();
  const dataDir = tempFolder("container");
  const executor: Executor = {
    kind: "cloud-run",
    async launch({ runId }) {
      const execution = `projects/${projectId}/locations/l/jobs/j/executions/${runId}`;
      const settings = containerSettings({ runId, dataDir, execution }, { projectId, bucket });
      const stores = createStores({ state, now: Date.now, snapshotId });
      const env = { DBT_JOB_LOG_FORMAT: "json", DBT_JOB_FRESH: "1" };
      const scripted = scriptedDbt(dbt);
      const start = (invocation: DbtInvocation) => {
        onStart();
        return scripted.start(invocation);
      };
      const engine = { ...scripted, start };
      const context = { settings, env, state, stores, print, engine, now: Date.now };
      void executeRun({ ...context, stop: createStopSwitch() })
        .catch(console.error)
        .finally(() => ended.add(runId));
      return { kind: "cloud-run", id: execution };
    },
    status: async () => ({ state: "alive" }),
    kill: async () => undefined,
    onExit: () => undefined,
    close: async () => undefined,
  };
  return { ...executor, ended };
}
