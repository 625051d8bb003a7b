import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { until } from "../../../test/programs.ts";
import { SCRIPTED_JOB, startService, type TestService } from "../../../test/service-fixture.ts";
import { createAuth } from "../auth.ts";

const BOUNDARY = "--14163410b1d66653bcc74f49259b9ba6";
const recorded = gunzipSync(
  readFileSync(join(import.meta.dirname, "../../../test/fixtures/older-client/post-dbt.bin.gz")),
);
const headers = { "content-type": `multipart/form-data; boundary=${BOUNDARY.slice(2)}` };
const idle = join(import.meta.dirname, "../../../test/idle-job.ts");

let server: TestService;
before(async () => {
  server = await startService({ started: false, jobPath: idle });
});
after(() => server.stop());

/** The recorded body with texts replaced. */
function body(changes: Readonly<Record<string, string>> = {}): Buffer {
  let text = recorded.toString("latin1");
  for (const [from, to] of Object.entries(changes)) {
    assert.ok(text.includes(from), from);
    text = text.replace(from, () => to);
  }
  return Buffer.from(text, "latin1");
}

async function post(payload: Buffer, on: TestService = server, url = "/dbt") {
  const answer = await on.send({ method: "POST", url, headers, payload });
  return { status: answer.statusCode, json: answer.json() as Record<string, unknown> };
}

test("what the older client posts becomes a run from a manifest", async () => {
  const { status, json } = await post(body());
  assert.equal(status, 202, JSON.stringify(json));
  const { uuid, message, links } = json as { uuid: string; message: string; links: Record<string, string> };
  assert.equal(typeof message, "string");
  assert.ok(!("status_code" in json));
  assert.equal(links["run_status"], `http://127.0.0.1:8001/job/${uuid}`);
  assert.match(links["last_logs"] ?? "", /^http:\/\/127\.0\.0\.1:8001\/job\/[0-9a-f-]{36}\/last_logs\?reader=\S{16}$/);
  const run = await server.stores.runs.require(uuid);
  assert.deepEqual(run.command, ["run", "--target", "prod", "--vars", '{"cutoff": 5}']);
  assert.deepEqual([run.mode, run.target, run.verb, run.warehouseFile], ["manifest", "prod", "run", "shop.duckdb"]);
  const entries = await server.stores.snapshots.load(run.snapshotId);
  assert.deepEqual(
    entries.map(({ path }) => path),
    ["dbt_project.yml", "seeds/people.csv", "target/manifest.json"],
  );
  assert.match(String((await server.state.envelopes.take(uuid))?.["profiles"]), /^shop:\n {2}target: dev\n/);
});

test("seeds go where the project has them, packages come along", async () => {
  const packages = `name="packages"\r\n\r\npackages: []\n\r\n${BOUNDARY}\r\nContent-Disposition: form-data; `;
  const { json } = await post(
    body({ "models: {shop": "seed-paths: [data/raw]\nmodels: {shop", 'name="zipped': `${packages}name="zipped` }),
  );
  const run = await server.stores.runs.require(String(json["uuid"]));
  const entries = await server.stores.snapshots.load(run.snapshotId);
  assert.deepEqual(
    entries.map(({ path }) => path),
    ["data/raw/people.csv", "dbt_project.yml", "packages.yml", "target/manifest.json"],
  );
});

test("errors are said in the older client's words", async () => {
  const cases: [Buffer, number, RegExp][] = [
    [body({ 'name="dbt_project"': 'name="other"' }), 400, /^The form has no dbt_project\.$/],
    [body({ "http://127.0.0.1:8001/": "javascript:alert(1)" }), 400, /server_url/],
    [body({ "{'cache_selected_only'": "{'cache_selected_only" }), 400, /no value as Python/],
    [body({ "PK\u0003\u0004": "XX\u0003\u0004" }), 400, /archive can't be read/],
    [
      Buffer.from(body().toString("latin1").replaceAll("seeds/people.csv", "../ds/people.csv"), "latin1"),
      ...([400, /archive can't be read: invalid relative path/] as const),
    ],
    [body({ "run --vars": "init --vars" }), 400, /your own machine/],
    [body({ "run --vars": "run --state ../x --vars" }), 400, /--state/],
    [recorded.subarray(0, 5000), 400, /form can't be read/],
    [Buffer.alloc(0), 400, /./],
  ];
  for (const [payload, expected, pattern] of cases) {
    const { status, json } = await post(payload);
    assert.equal(status, expected, `${pattern} ${JSON.stringify(json)}`);
    assert.deepEqual(Object.keys(json), ["detail"]);
    assert.match(String(json["detail"]), pattern);
  }
  for (const request of [
    { method: "POST", url: "/dbt", payload: "{}", headers: { "content-type": "application/json" } },
    { url: "/job/00000000-0000-4000-8000-000000000000" },
    { url: "/job/x/logs" },
    { url: "/job/x/last_logs?reader=a%20b" },
    { method: "DELETE", url: "/schedule/daily" },
    { method: "POST", url: "/schedule/x/start" },
  ] as const) {
    const answer = await server.send(request);
    assert.ok(answer.statusCode >= 400 && answer.statusCode < 500, `${request.url} ${answer.body}`);
    assert.deepEqual(Object.keys(answer.json()), ["detail"]);
  }
  assert.deepEqual(server.failures, []);
});

test("there are no schedules yet, which is said", async () => {
  assert.deepEqual((await server.send({ url: "/schedule" })).json(), { schedules: {} });
  const { status, json } = await post(body(), server, "/schedule");
  assert.deepEqual(
    [status, json["detail"]],
    [400, "Schedules are not available on this server yet. Run the command without --schedule."],
  );
});

test("the older routes are as closed as all others", async () => {
  const closed = await startService({ started: false, auth: createAuth("local", "right") });
  try {
    for (const url of ["/version", "/job/x", "/job/x/logs", "/job/x/last_logs", "/schedule"]) {
      const answer = await closed.send({ url });
      assert.equal(answer.statusCode, 401, url);
      assert.deepEqual(Object.keys(answer.json()), ["detail"], url);
      assert.equal((await closed.send({ url, headers: { origin: "http://evil.org" } })).statusCode, 403);
    }
    assert.equal((await post(body(), closed)).status, 401);
    const version = await closed.send({ url: "/version", headers: { authorization: "Bearer right" } });
    assert.deepEqual(version.json(), { version: "0.4.6" });
  } finally {
    await closed.stop();
  }
});

test("each link has a place of its own in the log, and the last answer leaves nothing out", async () => {
  const working = await startService({ jobPath: SCRIPTED_JOB });
  try {
    const script = JSON.stringify({ lines: 300, exitCode: 1 });
    const { json } = await post(body({ '{"cutoff": 5}': script, ", 'target': 'prod'": "" }), working);
    const { uuid, links } = json as { uuid: string; links: { last_logs: string } };
    const link = new URL(links.last_logs);
    const readers: [string, string[]][] = ["", "2", "3"].map((more) => [link.pathname + link.search + more, []]);
    for (const [url, lines] of readers) {
      await until("the end of the run", async () => {
        const page = (await working.send({ url })).json() as { run_status: string; run_logs: string[] };
        assert.ok(Array.isArray(page.run_logs));
        lines.push(...page.run_logs);
        if (page.run_status === "pending" || page.run_status === "running") return false;
        assert.equal(page.run_status, "failed");
        return true;
      });
    }
    const all = (await working.send({ url: `/job/${uuid}/logs` })).json() as { run_logs: string[] };
    for (const [, lines] of readers) assert.deepEqual(lines, all.run_logs);
    assert.ok(all.run_logs.length >= 301, String(all.run_logs.length));
    for (const line of all.run_logs) {
      assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t(INFO|WARN|ERROR|DEBUG)\t\[(dbt|job)\] [^\t\n]+$/);
    }
    assert.match(all.run_logs.at(-1) ?? "", /\tINFO\t\[job\] END JOB$/);
    assert.deepEqual((await working.send({ url: `/job/${uuid}` })).json(), { run_status: "failed" });
  } finally {
    await working.stop();
  }
});
