import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../../../test/folders.ts";
import { projectFiles, startService, type TestService } from "../../../test/service-fixture.ts";
import type { RunRequest } from "../../api/schemas/runs.ts";
import type { ErrorAnswer } from "../../api/schemas/server.ts";
import { AppError } from "../../core/errors.ts";
import { sha256Of } from "../../snapshot/hash.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** Nothing is launched: what is posted stays pending. */
async function started(options: Parameters<typeof startService>[0] = {}): Promise<TestService> {
  return startService({ started: false, jobPath: join(import.meta.dirname, "../../../test/idle-job.ts"), ...options });
}

async function refused(
  server: TestService,
  request: unknown,
  headers = {},
): Promise<ErrorAnswer["error"] & { status: number }> {
  const answer = await server.send({ method: "POST", url: "/api/v1/runs", payload: request as object, headers });
  const { error } = answer.json<ErrorAnswer>();
  return { ...error, status: answer.statusCode };
}

const project = (): RunRequest => ({ command: ["run"], files: projectFiles(), workspace: { name: randomUUID() } });

test("the curl way: files in the request", async (t) => {
  const server = await started();
  t.after(() => server.stop());

  await t.test("a whole project; its profile goes into the envelope and nowhere else", async () => {
    const { run, created } = await server.post(project());
    assert.equal(created, true);
    assert.equal(run.mode, "project");
    assert.equal(run.profileFrom, "client");
    assert.equal(run.target, "dev");
    const entries = await server.stores.snapshots.load(run.snapshotId);
    assert.deepEqual(
      entries.map(({ path }) => path),
      ["dbt_project.yml", "models/orders.sql"],
    );
    const stored = await server.stores.runs.require(run.id);
    assert.deepEqual(stored.args, ["run"]);
    for (const file of readdirSync(server.dataDir, { recursive: true, withFileTypes: true })) {
      const path = join(file.parentPath, file.name);
      if (file.isFile()) assert.ok(!readFileSync(path).includes("hunter2"), path);
    }
    const envelope = await server.state.envelopes.take(run.id);
    assert.match(String(envelope?.["profiles"]), /hunter2/);
  });

  await t.test("manifest-only: the manifest goes where dbt looks for it", async () => {
    const manifest = { path: "manifest.json", contentBase64: base64("{}") };
    const files = [...projectFiles().filter(({ path }) => !path.endsWith(".sql")), manifest];
    const { run } = await server.post({ ...project(), files });
    assert.equal(run.mode, "manifest");
    const entries = await server.stores.snapshots.load(run.snapshotId);
    assert.ok(entries.some(({ path }) => path === "target/manifest.json"));
  });

  await t.test("what is missing or broken is named", async () => {
    const withFiles = (files: RunRequest["files"]) => refused(server, { command: ["run"], files });
    const yml = { path: "dbt_project.yml", contentBase64: base64("name: a") };
    assert.equal((await withFiles([{ path: "manifest.json", contentBase64: "e30=" }])).code, "bad_project");
    assert.match((await withFiles([yml])).message, /manifest\.json is not among the files/);
    assert.match((await withFiles([{ ...yml, contentBase64: "***" }])).message, /"dbt_project.yml" is not base64/);
    for (const path of ["../x.sql", "/etc/x.sql", "a/../../x.sql", "a\\x.sql", "C:/x.sql", "a\0.sql", "."]) {
      const { code, status } = await withFiles([yml, { path, contentBase64: "" }]);
      assert.ok(["path_outside", "bad_project"].includes(code) && status === 400, `${path}: ${code}`);
    }
    assert.match((await withFiles([yml, yml])).message, /twice/);
    assert.match((await refused(server, { command: ["run"] })).message, /no project/);
  });
});

test("what the server makes of a request", async (t) => {
  const server = await started();
  t.after(() => server.stop());

  await t.test("paths that leave the workspace are refused, naming option and value", async () => {
    const cases: [string[], string][] = [
      [["run", "--state", "../prod"], "--state"],
      [["run", "--target-path=/tmp/x"], "--target-path"],
      [["--log-path", "a/../../b", "run"], "--log-path"],
      [["run", "--project-dir", "/etc"], "--project-dir"],
      [["source", "freshness", "-o", "/tmp/x"], "-o"],
      [["run", "--profiles-dir", "@outside/../x"], "--profiles-dir"],
    ];
    for (const [command, option] of cases) {
      const { code, message } = await refused(server, { ...project(), command });
      assert.equal(code, "path_outside", command.join(" "));
      assert.ok(message.includes(option), message);
    }
    const envelope = { env: { DBT_TARGET_PATH: "/tmp/x" } };
    assert.match((await refused(server, { ...project(), envelope })).message, /DBT_TARGET_PATH "\/tmp\/x"/);
    await server.post({ ...project(), command: ["run", "--target-path", "out", "--state", "@outside/abcd/state"] });
  });

  await t.test("variables that may not be sent are left out, names of the others are kept", async () => {
    const env = { A: "1", PATH: "/evil", LD_PRELOAD: "x", DBT_SERVER_TOKEN: "y", DBT_ENV_SECRET_X: "hunter3" };
    const { run } = await server.post({ ...project(), envelope: { env } });
    assert.deepEqual(run.envNames, ["A", "DBT_ENV_SECRET_X"]);
    const envelope = await server.state.envelopes.take(run.id);
    assert.deepEqual(envelope?.["env"], { A: "1", DBT_ENV_SECRET_X: "hunter3" });
  });

  await t.test("local commands, NULs, and args of another command are refused", async () => {
    assert.match((await refused(server, { ...project(), command: ["docs", "serve"] })).message, /your own machine/);
    assert.match((await refused(server, { ...project(), command: ["run", "a\0b"] })).message, /NUL/);
    assert.equal((await refused(server, { ...project(), args: ["build"] })).code, "bad_request");
    const file = { name: "../key.json", contentBase64: "" };
    assert.match((await refused(server, { ...project(), envelope: { files: [file] } })).message, /bare name/);
  });

  await t.test("--state run:… becomes a folder of that run, or says that there is none", async () => {
    const { run } = await server.post(project());
    const state = (value: string) => ({ ...project(), command: ["run", "--defer", "--state", value] });
    assert.match((await refused(server, state("run:latest"))).message, /no run of target dev/);
    assert.match((await refused(server, state(`run:${run.number}`))).message, /no manifest/);
    assert.equal((await refused(server, state("run:zzzz"))).code, "run_not_found");
    await server.stores.runs.transition(run.id, "running");
    await server.stores.runs.transition(run.id, "success");
    await server.stores.artifacts.putPack({
      ...{ runId: run.id, name: "target", content: Buffer.from("pack"), manifestPath: "target/manifest.json" },
      index: [],
    });
    for (const value of ["run:latest", `run:${run.number}`, `run:${run.id}`]) {
      const { run: next } = await server.post(state(value));
      const { args, stateSources, command } = await server.stores.runs.require(next.id);
      assert.deepEqual(args, ["run", "--defer", "--state", `@outside/run-${run.id}`]);
      assert.deepEqual(stateSources, [{ path: `@outside/run-${run.id}`, runId: run.id }]);
      assert.equal(command.at(-1), value);
    }
  });

  await t.test("workspaces are the requester's own", async () => {
    const request = { ...project(), workspace: { checkout: "c" } };
    const [ada, ada2, bob] = await Promise.all(
      ["ada", "ada", "bob"].map((client) => server.post(request, { "x-dbt-remote-client": client })),
    );
    assert.equal(ada?.run.workspace, ada2?.run.workspace);
    assert.notEqual(ada?.run.workspace, bob?.run.workspace);
    const latest = (client: string) =>
      server.send({ url: "/api/v1/runs/latest?checkout=c", headers: { "x-dbt-remote-client": client } });
    assert.equal((await latest("bob")).json().id, bob?.run.id);
    assert.equal((await latest("eve")).statusCode, 404);
  });
});

test("profiles may live on the server; dbt and adapters may be missing", async () => {
  const profilesDir = tempFolder("profiles");
  writeFileSync(
    join(profilesDir, "profiles.yml"),
    "shop: {target: prod, outputs: {prod: {type: duckdb, path: p.duckdb}}}",
  );
  const settings = { profilesDir, maxRuns: 4, state: "local" as const, runTimeoutMs: 5000, streamTimeoutMs: 1000 };
  const server = await started({ settings });
  try {
    const { run } = await server.post({
      ...project(),
      command: ["run", "--profiles-dir", "."],
      options: { timeoutMs: 9000 },
    });
    assert.deepEqual([run.profileFrom, run.target], ["server", "prod"]);
    const stored = await server.stores.runs.require(run.id);
    assert.equal(stored.warehouseFile, "p.duckdb");
    assert.deepEqual(stored.args, ["run", "--profiles-dir", "@profiles"]);
    assert.equal(stored.options.timeoutMs, 5000);
    assert.equal((await server.state.envelopes.take(run.id))?.["profiles"], null);
  } finally {
    await server.stop();
  }
  const bare = await started({
    engine: async () => {
      throw new AppError("dbt_not_found", "No Python with dbt Core was found.", { hint: "Install it." });
    },
  });
  try {
    const { status, code, hint } = await refused(bare, project());
    assert.deepEqual({ status, code, hint }, { status: 503, code: "dbt_not_found", hint: "Install it." });
    assert.equal((await bare.send({ url: "/api/v1/server" })).json().dbt, null);
  } finally {
    await bare.stop();
  }
});

test("snapshots: list, difference, packs and parts, then the run", async () => {
  const server = await started();
  try {
    const { snapshotId } = await import("../../snapshot/entry.ts");
    const { contentPack } = await import("../../snapshot/pack.ts");
    const text = { "dbt_project.yml": "name: a\n", "models/a.sql": "select 1" };
    const entries = Object.entries(text).map(([path, content]) => ({
      ...{ path, mode: "100644" as const, sha256: sha256Of(content), size: content.length },
    }));
    const rows = entries.map(({ path, mode, sha256, size }) => [path, mode, sha256, size]);
    const id = snapshotId(entries);
    const run = () => refused(server, { command: ["run"], snapshotId: id });
    assert.equal((await run()).code, "snapshot_unknown");
    const put = (url: string, payload: object) =>
      server.send({ method: "PUT", url: `/api/v1/snapshots/${url}`, payload });
    const answer = await put(id, { put: rows });
    assert.deepEqual(new Set(answer.json().missing), new Set(entries.map(({ sha256 }) => sha256)));
    assert.equal((await put(`v1-${"0".repeat(64)}`, { put: rows })).json().error.code, "blob_corrupt");
    const missing = await run();
    assert.equal(missing.code, "blobs_missing");
    assert.equal((missing.details?.["missing"] as string[] | undefined)?.length, 2);

    const pack = contentPack(entries.slice(0, 1), () => Buffer.from(text["dbt_project.yml"]));
    const headers = { "content-type": "application/octet-stream" };
    const payload = Buffer.concat(await pack.toArray());
    assert.deepEqual((await server.send({ method: "POST", url: "/api/v1/packs", payload, headers })).json(), {
      stored: 1,
    });

    const sha256 = entries[1]?.sha256 ?? "";
    const part = (range: string, bytes: string) =>
      server.send({
        ...{ method: "PATCH", url: `/api/v1/contents/${sha256}`, payload: Buffer.from(bytes) },
        headers: { ...headers, "content-range": `bytes ${range}` },
      });
    assert.deepEqual((await part("0-2/8", "sel")).json(), { offset: 3, complete: false });
    const gap = await part("5-7/8", "t 1");
    assert.equal(gap.statusCode, 416);
    assert.equal(gap.json().error.details.offset, 3);
    assert.equal((await server.send({ url: `/api/v1/contents/${sha256}` })).json().offset, 3);
    assert.equal((await part("3-7/8", "ect 1")).json().complete, true);
    const { run: posted } = await server.post({ command: ["run"], snapshotId: id });
    assert.equal(posted.profileFrom, "none");

    const next = [...entries.slice(0, 1), { path: "models/b.sql", mode: "100644" as const, sha256, size: 8 }];
    const difference = { base: id, remove: ["models/a.sql"], put: [["models/b.sql", "100644", sha256, 8]] };
    assert.deepEqual((await put(snapshotId(next), difference)).json().missing, []);
    const base = `v1-${"1".repeat(64)}`;
    assert.equal((await put(id, { ...difference, base })).json().error.code, "snapshot_base_unknown");

    const link = { path: "models/l.sql", mode: "120000" as const, sha256: sha256Of("../../etc/passwd"), size: 16 };
    await server.state.contents.put(link.sha256, Buffer.from("../../etc/passwd"));
    const tree = [...entries, link].sort((a, b) => (a.path < b.path ? -1 : 1));
    await put(snapshotId(tree), { put: tree.map((each) => [each.path, each.mode, each.sha256, each.size]) });
    const leaving = await refused(server, { command: ["run"], snapshotId: snapshotId(tree) });
    assert.equal(leaving.code, "path_outside");
    assert.match(leaving.message, /models\/l\.sql/);
  } finally {
    await server.stop();
  }
});
