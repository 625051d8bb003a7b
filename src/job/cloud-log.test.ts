import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copyProject } from "../../test/folders.ts";
import { createJobHarness, PROFILE } from "../../test/job-harness.ts";
import { createCloudLog } from "./cloud-log.ts";
import { parseCloudSettings } from "./cloud-settings.ts";
import type { JobLog } from "./job-log.ts";

const RUN = { id: "0b9d6c0e-1111-4222-8333-444455556666", number: 7, verb: "run", workspace: "w", target: "dev" };
const SECRET = 'hunter2-"quoted"-more';

interface Line {
  readonly severity: string;
  readonly message: string;
  readonly nodeId?: string;
  readonly event?: string;
  readonly status?: string;
  readonly "logging.googleapis.com/labels": Readonly<Record<string, string>>;
  readonly "logging.googleapis.com/trace": string;
}

/** What the streams of a run are told as. */
function tell(write: (streams: { log: JobLog; events: JobLog }) => void, debug = false): Line[] {
  let printed = "";
  const print = (line: string): void => {
    printed += line;
  };
  const silent: JobLog = {
    write: async () => undefined,
    say: () => undefined,
    flush: async () => undefined,
    offset: 0,
    failure: undefined,
    seal: async () => undefined,
    close: async () => undefined,
  };
  const cloud = createCloudLog({ run: RUN, projectId: "p", secrets: [SECRET], debug, print });
  const streams = cloud.tap({ log: silent, events: silent });
  write(streams);
  void streams.log.seal();
  void streams.events.seal();
  assert.ok(!printed.includes("hunter2"), printed);
  return linesOf(printed);
}

const linesOf = (printed: string): Line[] =>
  printed
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);

const event = (name: string, level: string, msg: string, data: object = {}): string =>
  `${JSON.stringify({ info: { name, level, msg, code: "X", ts: "2026-01-02T03:04:05Z", thread: "Thread-1" }, data })}\n`;

test("events from info on, nodes, stderr and the job's lines are told, in whatever pieces they come", () => {
  const node = { node_info: { unique_id: "model.tiny.a", node_status: "started" } };
  const failed = { node_info: { unique_id: "model.tiny.a" }, run_result: { status: "error", execution_time: 2 } };
  const bytes = Buffer.from(
    event("MainReportVersion", "info", "Running with \u001b[32mdbt\u001b[0m ü") +
      event("SystemStdErr", "debug", "noise") +
      event("NodeStart", "debug", "Began running node model.tiny.a", node) +
      event("NodeFinished", "debug", "Finished running node model.tiny.a", failed),
  );
  const lines = tell(({ log, events }) => {
    for (const byte of bytes) void events.write("out", Buffer.from([byte]));
    void log.write("out", Buffer.from("dbt's own text is told by its events\n"));
    log.say("dbt deps: 0 of 1 packages are installed");
    void log.write("err", Buffer.from(`Traceback: ${SECRET.slice(0, 5)}`));
    void log.write("err", Buffer.from(`${SECRET.slice(5)} is wrong`));
  });
  assert.deepEqual(
    lines.map(({ severity, message }) => [severity, message]),
    [
      ["INFO", "Running with dbt ü"],
      ["INFO", "Began running node model.tiny.a"],
      ["ERROR", "Finished running node model.tiny.a"],
      ["INFO", "dbt deps: 0 of 1 packages are installed"],
      ["WARNING", "Traceback: ***** is wrong"],
    ],
  );
  assert.equal(lines[2]?.nodeId, "model.tiny.a");
  assert.equal(lines[2]?.status, "error");
  assert.equal(lines[2]?.["logging.googleapis.com/labels"]["node_id"], "model.tiny.a");
  for (const line of lines) {
    assert.equal(line["logging.googleapis.com/labels"]["run_id"], RUN.id);
    assert.equal(line["logging.googleapis.com/trace"], "projects/p/traces/0b9d6c0e111142228333444455556666");
  }
});

test("debug events are told where that was asked for", () => {
  const lines = tell(({ events }) => void events.write("out", Buffer.from(event("X", "debug", "noise"))), true);
  assert.deepEqual(
    lines.map(({ severity, message }) => [severity, message]),
    [["DEBUG", "noise"]],
  );
});

test("a secret is told nowhere: neither in a message that quotes it, nor in a name, nor where it is cut", () => {
  const quoted = JSON.stringify({ sql: `select '${SECRET}'` });
  const named = { node_info: { unique_id: `model.tiny.${SECRET}` } };
  const lines = tell(({ log, events }) => {
    void events.write("out", Buffer.from(event("X", "info", quoted) + event("NodeStart", "debug", "began", named)));
    log.say(`git refused ${SECRET}`);
    log.say(`${"x".repeat(244_000)}${SECRET.repeat(3000)}`);
  });
  assert.equal(lines.length, 4);
  assert.match(lines[1]?.nodeId ?? "", /^model\.tiny\.\*+$/);
});

test("Cloud Run turns it on, and a variable turns it on or off anywhere", () => {
  const settings = parseCloudSettings;
  const none = { profilesSecret: undefined, secretEnv: {} };
  assert.deepEqual(settings({}), { projectId: undefined, logsJson: false, logsDebug: false, isFresh: false, ...none });
  const onCloudRun = { CLOUD_RUN_JOB: "dbt-job", GOOGLE_CLOUD_PROJECT: "p", DBT_JOB_LOG_DEBUG: "1" };
  assert.deepEqual(settings(onCloudRun), { projectId: "p", logsJson: true, logsDebug: true, isFresh: true, ...none });
  const secrets = { DBT_SERVER_PROFILES_SECRET: "s", DBT_SERVER_SECRET_ENV: "A=a, B=projects/p/secrets/b," };
  assert.deepEqual(settings(secrets).secretEnv, { A: "a", B: "projects/p/secrets/b" });
  assert.equal(settings(secrets).profilesSecret, "s");
  const other = { ...onCloudRun, DBT_JOB_LOG_FORMAT: "text", DBT_JOB_FRESH: "0" };
  assert.deepEqual(settings(other), { projectId: "p", logsJson: false, logsDebug: false, isFresh: false, ...none });
});

test("a real run tells itself on the job's output, without its secret", { timeout: 240_000 }, async () => {
  const harness = await createJobHarness();
  try {
    const project = copyProject("tiny");
    writeFileSync(join(project, "models/broken.sql"), "select '{{ env_var(\"MY_TOKEN\") }}' from no_such_table");
    const envelope = { profiles: PROFILE, env: { MY_TOKEN: SECRET }, secretNames: ["MY_TOKEN"] };
    const runId = await harness.post({ project, args: ["build"], envelope });
    const env = { DBT_JOB_LOG_FORMAT: "json", DBT_JOB_LOG_DEBUG: "1", PROJECT_ID: "p" };
    const { stdout, stderr } = await harness.startJob(runId, { env }).done;
    assert.equal(stderr, "");
    assert.ok(!stdout.includes("hunter2"));
    const lines = linesOf(stdout);
    const run = await harness.stores.runs.require(runId);
    assert.equal(run.status, "failed");
    assert.deepEqual(new Set(lines.map((line) => line["logging.googleapis.com/labels"]["run_id"])), new Set([runId]));
    assert.equal(lines.at(-1)?.message, "END JOB");
    assert.ok(lines.some(({ message, severity }) => severity === "INFO" && /Running with dbt=/.test(message)));
    assert.ok(lines.some(({ message, severity }) => severity === "ERROR" && /no_such_table/.test(message)));
    assert.ok(lines.some(({ severity }) => severity === "DEBUG"));
    const ended = lines.filter(({ event }) => event === "NodeFinished");
    const started = lines.filter(({ event }) => event === "NodeStart");
    const ids = (some: readonly Line[]) => some.map(({ nodeId }) => nodeId).sort();
    assert.deepEqual(ids(started), ids(ended));
    assert.equal(ended.find(({ nodeId }) => nodeId === "model.tiny.broken")?.severity, "ERROR");
    assert.ok(ended.filter(({ severity }) => severity === "INFO").length >= 3);
  } finally {
    await harness.close();
  }
});
