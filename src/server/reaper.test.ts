import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import {
  ended,
  running,
  runUntil,
  type Script,
  scripted,
  startService,
  type TestService,
} from "../../test/service-fixture.ts";
import type { Run } from "../core/run.ts";
import { EXECUTIONS } from "../state/executions.ts";

const NEVER = join(tempFolder("never"), "comes");

/** The events of the run's stream, read to its end. */
async function streamTypes(server: TestService, runId: string): Promise<string[]> {
  const url = `/api/v1/runs/${runId}/log`;
  const { body } = await server.send({ url, headers: { accept: "text/event-stream" } });
  return [...body.matchAll(/^event: (.*)$/gm)].map(([, type]) => type ?? "");
}

async function outcome(server: TestService, script: Script): Promise<Run> {
  const { run } = await server.post(scripted(script));
  return runUntil(server, run.id, ended);
}

test("jobs that go without a word", async (t) => {
  const server = await startService({ settings: { maxRuns: 2 } });
  t.after(() => server.stop());

  await t.test("before the run began: launch_failed, with what the job said", async () => {
    const run = await outcome(server, { dies: "before" });
    assert.equal(run.reason, "launch_failed");
    assert.match(run.message ?? "", /ended before it began.*the scripted job fell over/);
    assert.equal(run.logSize, 0);
    assert.deepEqual((await streamTypes(server, run.id)).at(-1), "end");
  });

  await t.test("in mid-run: job_failed, and its log ends where it was shipped to", async () => {
    const run = await outcome(server, { dies: "during", lines: 3 });
    assert.equal(run.reason, "job_failed");
    assert.match(run.message ?? "", /killed \(SIGKILL\)/);
    const { body } = await server.send({ url: `/api/v1/runs/${run.id}/log`, headers: { accept: "text/plain" } });
    assert.equal(body, "root 1\nline 1\nline 2\nline 3\n");
    assert.equal(run.logSize, body.length);
    assert.equal((await streamTypes(server, run.id)).at(-1), "end");
    const profiles = join(server.dataDir, "workspaces", run.workspace, "1", "profiles");
    assert.deepEqual(readdirSync(profiles), [], "the profile of a job that was cut off stays nowhere");
  });

  await t.test("after dbt had ended: dbt's own end stands, with a warning", async () => {
    for (const exitCode of [0, 1]) {
      const run = await outcome(server, { dies: "after", exitCode });
      assert.equal(run.status, exitCode === 0 ? "success" : "failed");
      assert.equal(run.reason, exitCode === 0 ? null : "dbt_failed");
      assert.equal(run.exitCode, exitCode);
      assert.match(run.warnings.join(), /not the work after it/);
      assert.deepEqual((await streamTypes(server, run.id)).slice(-2), ["dbt-finished", "end"]);
    }
  });

  await t.test("the workspace is free again, and nothing of the run's secrets is left", async () => {
    const request = scripted({ dies: "during" });
    const { run } = await server.post(request);
    await runUntil(server, run.id, ended);
    assert.equal(await server.stores.leases.holder(run.workspace, 1), undefined);
    assert.equal(await server.state.envelopes.take(run.id), undefined);
    const { run: next } = await server.post({ ...scripted(), workspace: request.workspace ?? {} });
    assert.equal((await runUntil(server, next.id, ended)).status, "success");
  });
  assert.deepEqual(server.failures, []);
});

test("cancelling", async (t) => {
  const server = await startService({ settings: { maxRuns: 1 }, patience: { cancelMs: 300 } });
  t.after(() => server.stop());
  const cancel = (runId: string, reason?: string) =>
    server.send({
      method: "POST",
      url: `/api/v1/runs/${runId}/cancel`,
      payload: reason === undefined ? {} : { reason },
    });

  await t.test(
    "a run that waits ends at once, one that goes on is asked to, and a second time is a conflict",
    async () => {
      const { run: first } = await server.post(scripted({ until: NEVER }));
      const { run: waiting } = await server.post(scripted());
      const answer = await cancel(waiting.id, "changed my mind");
      assert.equal(answer.statusCode, 200);
      assert.equal(answer.json().status, "cancelled");
      assert.match(answer.json().message, /^Cancelled by none: changed my mind\.$/);
      await runUntil(server, first.id, running);
      const asked = await cancel(first.id);
      assert.equal(asked.statusCode, 202);
      assert.notEqual(asked.json().cancelRequestedAt, null);
      await runUntil(server, first.id, ({ status }) => status === "cancelled");
      assert.equal((await cancel(first.id)).json().error.code, "run_finished");
      assert.deepEqual(await streamTypes(server, waiting.id), ["run", "end"]);
    },
  );

  await t.test("a job that does not obey is ended by force after its grace period", async () => {
    const { run } = await server.post(scripted({ until: NEVER, stubborn: true }));
    await runUntil(server, run.id, running);
    await cancel(run.id);
    const last = await runUntil(server, run.id, ended);
    assert.equal(last.status, "cancelled");
    assert.match(last.message ?? "", /Cancelled by none/);
  });

  await t.test("another's run takes its full id", async () => {
    const { run } = await server.post(scripted({ until: NEVER }), { "x-dbt-remote-client": "ada" });
    const byNumber = await cancel(String(run.number));
    assert.equal(byNumber.statusCode, 403);
    assert.match(byNumber.json().error.hint, new RegExp(run.id));
    assert.ok((await cancel(run.id)).statusCode < 300);
    await runUntil(server, run.id, ended);
  });

  await t.test("a run that waits and that nobody follows is cancelled where its client asked for that", async () => {
    const { run: first } = await server.post(scripted({ until: NEVER }));
    const { run } = await server.post({ ...scripted(), options: { cancelOnDisconnectMs: 1000 } });
    const last = await runUntil(server, run.id, ended);
    assert.match(last.message ?? "", /nobody followed the run for 1 s/);
    await cancel(first.id);
    await runUntil(server, first.id, ended);
  });
});

test("limits of patience: a launch that is never claimed, a run beyond its time", async () => {
  const patience = { claimMs: 0, timeoutMs: 0 };
  const server = await startService({ patience, jobPath: join(import.meta.dirname, "../../test/idle-job.ts") });
  try {
    const { run } = await server.post(scripted());
    const last = await runUntil(server, run.id, ended);
    assert.equal(last.reason, "launch_failed");
    assert.match(last.message ?? "", /did not begin within/);
  } finally {
    await server.stop();
  }
  const timed = await startService({ patience: { timeoutMs: 0 } });
  try {
    const { run } = await timed.post({ ...scripted({ until: NEVER, stubborn: true }), options: { timeoutMs: 500 } });
    assert.equal((await runUntil(timed, run.id, ended)).reason, "timed_out");
  } finally {
    await timed.stop();
  }
});

test("after a restart: a job that went meanwhile is lost, a claim of the former server is taken over", async () => {
  const before = await startService();
  const { run: lost } = await before.post(scripted({ until: NEVER }));
  await runUntil(before, lost.id, running);
  await before.stop();
  const after = await startService({ dataDir: before.dataDir, started: false, patience: { heartMs: 0 } });
  try {
    const execution = await after.stores.executions.get(lost.id);
    process.kill(Number(execution?.id.split(":")[0]), "SIGKILL");
    const { command = [], ...rest } = scripted();
    assert.ok(rest.files);
    const stored = await after.stores.runs.require(lost.id);
    const claimed = "00000000-0000-4000-8000-000000000000";
    await after.stores.runs.create({ ...stored, id: claimed, command, workspace: "another" });
    await after.state.records.create(EXECUTIONS, claimed, { kind: "launching", id: "gone", launchedAtMs: 0 });
    await after.service.start();
    assert.equal((await runUntil(after, lost.id, ended)).reason, "lost");
    assert.equal((await runUntil(after, claimed, ended)).status, "success");
  } finally {
    await after.stop();
  }
});
