/** A server whose executor launches nothing, projects that it does not know yet, and posts of them step by step. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { RunRequest, RunView } from "../src/api/schemas/runs.ts";
import type { Execution, Executor } from "../src/executors/port.ts";
import type { LaunchRecord } from "../src/server/launches.ts";
import { snapshotId } from "../src/snapshot/entry.ts";
import { sha256Of } from "../src/snapshot/hash.ts";
import { until } from "./programs.ts";
import { startService, type TestService, type TestServiceOptions } from "./service-fixture.ts";

/** Launches nothing in truth: what it was told, and what it answers, is the test's. */
function fakeExecutor() {
  const launched: string[] = [];
  const killed: string[] = [];
  const gone = new Set<string>();
  let answer: () => Promise<void> = async () => undefined;
  const launch = async (runId: string): Promise<Execution> => {
    launched.push(runId);
    const id = `projects/p/locations/l/jobs/j/executions/e${launched.length}`;
    await answer();
    return { kind: "cloud-run", id };
  };
  const vanished = { exitCode: null, signal: null, reason: "it crashed", outOfMemory: false };
  const executor: Executor = {
    kind: "cloud-run",
    launch: ({ runId }) => launch(runId),
    ahead: ({ runId, jobProfile }) => (jobProfile === "unknown" ? undefined : () => launch(runId)),
    status: async ({ id }) => (gone.has(id) ? { state: "gone", ...vanished } : { state: "alive" }),
    kill: async ({ id }) => void killed.push(id.split("/").at(-1) ?? ""),
    onExit: () => undefined,
    close: async () => undefined,
  };
  const answersWith = (next: typeof answer): void => {
    answer = next;
  };
  return { executor, launched, killed, gone, answersWith };
}

/** What waits until it is opened, or broken open. */
export function gate() {
  let open = (_error?: Error): void => undefined;
  const opened = new Promise<void>((resolve, reject) => {
    open = (error) => (error === undefined ? resolve() : reject(error));
  });
  return { opened, open };
}

/** A server whose jobs are nobody's, and what they were told. */
export interface Scene {
  readonly google: ReturnType<typeof fakeExecutor>;
  readonly server: TestService;
}

/** Does its work on a server of its own. */
export async function scene<T>(work: (scene: Scene) => Promise<T>, options: TestServiceOptions = {}): Promise<T> {
  const google = fakeExecutor();
  const server = await startService({ executor: google.executor, isAlone: false, ...options });
  try {
    return await work({ google, server });
  } finally {
    await server.stop();
  }
}

/** A project of which the server knows nothing yet, posted with a key of its own, or another's. */
export function project(request: Partial<RunRequest> = {}, key: string = randomUUID()) {
  const text = `name: p${randomUUID().slice(0, 8)}\n`;
  const sha256 = sha256Of(text);
  const entries = [{ path: "dbt_project.yml", mode: "100644" as const, sha256, size: text.length }];
  const id = snapshotId(entries);
  const payload: RunRequest = { command: ["run"], snapshotId: id, workspace: { name: key }, ...request };
  const headers = { "idempotency-key": key, "x-dbt-remote-client": "client" };
  const send = (to: TestService, more: Readonly<Record<string, string>> = headers) =>
    to.send({ method: "POST", url: "/api/v1/runs", payload, headers: more });
  return {
    key,
    async refused(by: TestService, code = "snapshot_unknown", more?: Readonly<Record<string, string>>) {
      const answer = await send(by, more);
      assert.equal(answer.json().error?.code, code, answer.body);
      return answer.json().error;
    },
    async sendTo({ stores, state }: TestService) {
      await stores.snapshots.put(id, entries);
      await state.contents.put(sha256, Buffer.from(text));
    },
    async post(to: TestService): Promise<{ run: RunView; created: boolean }> {
      const answer = await send(to);
      assert.ok(answer.statusCode < 300, answer.body);
      return answer.json();
    },
  };
}

/** What is known of a launch. */
export const recordOf = async ({ state }: TestService, runId: string) =>
  (await state.records.get<LaunchRecord>("executions", runId))?.data;

/** The id of the run that a container waits for. */
export async function waitedFor(server: TestService, google: Scene["google"]): Promise<string> {
  const runId = google.launched.at(-1) ?? "";
  await until("the launch to be written down", async () => (await recordOf(server, runId))?.kind === "cloud-run");
  return runId;
}
