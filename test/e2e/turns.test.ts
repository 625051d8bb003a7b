/** Who waits for whom: turns in a workspace, readers beside writers, the limit on runs, and repeated posts. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { RunView } from "../../src/api/schemas/runs.ts";
import { KEPT_WARM, startServer, tempFolder } from "../harness.ts";
import { type PostgresConnection, postgresDatabase, postgresMissing } from "../postgres.ts";
import { python } from "../programs.ts";
import { requirePart } from "../require.ts";
import { apiOf, countUntil, gateVars, newCheckout, newestRun, newGate, printed, runOf, runWhen } from "./gated.ts";

const isEnded = ({ status }: RunView) => status !== "pending" && status !== "running";

test("runs that write take turns in their workspace, in order; a reader of a DuckDB file waits, too", async (context) => {
  const server = await startServer({ home: tempFolder("home"), args: ["--max-runs", "20"], env: KEPT_WARM });
  context.after(() => server.stop());
  const checkout = newCheckout(server);
  const gate = newGate();
  const holding = [...countUntil(gate), "--idempotency-key", "nightly-1"];
  const first = checkout.start(holding);
  const firstRun = await runOf(server, first, /^line 3 /m);

  const second = checkout.start(countUntil(gate));
  await printed(second, /is waiting for run \d+ \(.*\) of .* to end/);
  const secondRun = await newestRun(server);
  const reader = checkout.start(["ls", "--resource-type", "model"]);
  await printed(reader, /is waiting for run/);
  const readerRun = await newestRun(server);

  await context.test("the waiting CLI says behind which run", () => {
    for (const waiting of [second, reader]) {
      assert.match(
        waiting.stderr(),
        new RegExp(`is waiting for run ${firstRun.number} \\(run-operation count_until .*\\) of .+ to end`),
      );
    }
    assert.deepEqual([secondRun.status, secondRun.waitingFor], ["pending", firstRun.id]);
  });

  await context.test("--no-wait refuses, and names the run", async () => {
    const { stdout, stderr, code } = await checkout.start(["run", "--no-wait"]).done;
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, new RegExp(`would have to wait for run ${firstRun.number} \\(dbt run-operation count_until`));
    assert.match(stderr, new RegExp(`dbt-remote attach ${firstRun.id}`));
    assert.equal((await newestRun(server)).id, readerRun.id);
  });

  await context.test("the same idempotency key is the same run, and with another command a refusal", async () => {
    const again = await checkout.start([...holding, "--detach"]).done;
    assert.deepEqual([again.code, again.stdout], [0, `${firstRun.id}\n`]);
    assert.match(again.stderr, new RegExp(`run ${firstRun.number} was started before`));
    const other = await checkout.start(["run", "--idempotency-key", "nightly-1"]).done;
    assert.deepEqual([other.code, other.stdout], [2, ""]);
    assert.match(other.stderr, /idempotency key stands for a run with another request/);
    const posted = {
      command: ["ls"],
      files: [
        { path: "dbt_project.yml", contentBase64: btoa("name: x") },
        { path: "models/a.sql", contentBase64: btoa("select 1") },
      ],
    };
    const { run } = await apiOf(server).postRun(posted, "key-2");
    assert.equal((await apiOf(server).postRun(posted, "key-2")).run.id, run.id);
    await assert.rejects(apiOf(server).postRun({ ...posted, command: ["parse"] }, "key-2"), {
      code: "idempotency_conflict",
    });
    await apiOf(server)
      .cancel(run.id)
      .catch(() => undefined);
  });

  await context.test("another workspace does not wait", async () => {
    const { stdout, code } = await newCheckout(server).start(["ls", "--resource-type", "model"]).done;
    assert.deepEqual([code, stdout.includes("gated.quick")], [0, true], stdout);
    assert.equal((await apiOf(server).run(firstRun.id)).status, "running");
  });

  gate.open();
  for (const each of [first, second, reader]) assert.equal((await each.done).code, 0, each.stderr());
  const ended = await Promise.all(
    [firstRun, secondRun, readerRun].map(({ id }) => runWhen(server, id, "ended", isEnded)),
  );
  for (const [index, run] of ended.entries()) {
    const former = ended[index - 1];
    if (former) assert.ok((former.finishedAt ?? "~") <= (run.startedAt ?? ""), "two at a time");
  }
});

test("on PostgreSQL a reader runs beside a writer, in a folder of its own", async (context) => {
  const missing = postgresMissing();
  if (!requirePart(context, "PostgreSQL", missing === undefined, missing ?? "")) return;
  const database = await postgresDatabase();
  const profiles = tempFolder("profiles");
  const { host, port, user, password, database: dbname } = database;
  const output = { type: "postgres", host, port, user, password, dbname, schema: "turns", threads: 1 };
  writeFileSync(join(profiles, "profiles.yml"), JSON.stringify({ gated: { target: "dev", outputs: { dev: output } } }));
  const env = { DBT_PROFILES_DIR: profiles };
  const server = await startServer({ home: tempFolder("home"), args: ["--max-runs", "20"], env: KEPT_WARM });
  context.after(() => server.stop());
  const checkout = newCheckout(server);
  const writer = checkout.start(["run", "-s", "gate", ...gateVars({ path: "gate_of_writer", open: () => undefined })], {
    env,
  });
  const writerRun = await runOf(server, writer, /waiting at the gate/);

  const reader = checkout.start(
    ["compile", "-s", "gate", ...gateVars({ path: "gate_of_reader", open: () => undefined })],
    { env },
  );
  await printed(reader, /waiting at the gate/);
  const readerRun = await newestRun(server);
  assert.notEqual(readerRun.id, writerRun.id);
  assert.equal((await apiOf(server).run(writerRun.id)).status, "running", writer.stdout() + writer.stderr());

  const secondReader = checkout.start(["ls", "--resource-type", "model"], { env });
  await printed(secondReader, /is waiting for run/);
  assert.match(secondReader.stderr(), new RegExp(`is waiting for run ${readerRun.number} \\(compile`));

  execute(database, "create table gate_of_reader()");
  assert.equal((await reader.done).code, 0, reader.stderr());
  assert.equal((await secondReader.done).code, 0, secondReader.stderr());
  assert.equal((await apiOf(server).run(writerRun.id)).status, "running", writer.stdout() + writer.stderr());
  execute(database, "create table gate_of_writer()");
  assert.equal((await writer.done).code, 0, writer.stderr());
});

function execute({ host, port, user, password, database: dbname }: PostgresConnection, sql: string): void {
  const script = [
    "import json, psycopg2, sys",
    "c = psycopg2.connect(**json.loads(sys.argv[1])); c.autocommit = True",
    "c.cursor().execute(sys.argv[2])",
  ].join("\n");
  execFileSync(python, ["-c", script, JSON.stringify({ host, port, user, password, dbname }), sql], { stdio: "pipe" });
}

test("--max-runs: more runs than that wait, whatever their workspaces", async (context) => {
  const server = await startServer({ home: tempFolder("home"), args: ["--max-runs", "1"], env: KEPT_WARM });
  context.after(() => server.stop());
  const gate = newGate();
  const first = newCheckout(server).start(countUntil(gate));
  const firstRun = await runOf(server, first, /^line 3 /m);
  const second = newCheckout(server).start(["ls", "--resource-type", "model"]);
  await printed(second, /is waiting for run/);
  assert.match(second.stderr(), new RegExp(`is waiting for run ${firstRun.number} `));
  gate.open();
  assert.deepEqual([(await first.done).code, (await second.done).code], [0, 0]);
});
