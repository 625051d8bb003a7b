import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import {
  ended,
  projectFiles,
  running,
  runUntil,
  type Script,
  startService,
  type TestService,
} from "../../test/service-fixture.ts";
import type { RunRequest } from "../api/schemas/runs.ts";

const gates = tempFolder("gates");
let gateCount = 0;
function gate(): { readonly path: string; open(): void } {
  gateCount += 1;
  const path = join(gates, String(gateCount));
  return { path, open: () => writeFileSync(path, "") };
}

interface Wanted extends Script {
  readonly verb?: string;
  readonly workspace?: string;
  readonly warehouse?: string;
}

function request({ verb = "run", workspace = "w", warehouse, ...script }: Wanted): RunRequest {
  const command = [verb, "--vars", JSON.stringify(script)];
  return { command, files: projectFiles(warehouse ?? null), workspace: { name: workspace } };
}

async function logOf(server: TestService, runId: string): Promise<string> {
  const url = `/api/v1/runs/${runId}/log`;
  return (await server.send({ url, headers: { accept: "text/plain" } })).body;
}

async function viewOf(server: TestService, runId: string) {
  return (await server.send({ url: `/api/v1/runs/${runId}` })).json();
}

test("writers take turns in a workspace, readers run beside them in the second root, others do not wait", async () => {
  const server = await startService({ settings: { maxRuns: 10 } });
  try {
    const [first, reader] = [gate(), gate()];
    const { run: writer } = await server.post(request({ until: first.path }));
    const { run: next } = await server.post(request({}));
    assert.equal(next.waitingFor, writer.id);
    const { run: list } = await server.post(request({ verb: "ls", until: reader.path }));
    const { run: list2 } = await server.post(request({ verb: "ls" }));
    const { run: elsewhere } = await server.post(request({ workspace: "other" }));
    await runUntil(server, elsewhere.id, ended);
    await runUntil(server, writer.id, running);
    await runUntil(server, list.id, running);
    assert.equal((await viewOf(server, list2.id)).waitingFor, list.id);
    assert.equal((await server.stores.runs.require(next.id)).status, "pending");
    reader.open();
    await runUntil(server, list2.id, ended);
    first.open();
    await runUntil(server, next.id, ended);
    assert.match(await logOf(server, writer.id), /root 1\n/);
    assert.match(await logOf(server, list.id), /root 2\n/);
    assert.match(await logOf(server, next.id), /root 1\n/);
    assert.equal((await viewOf(server, next.id)).waitingFor, null);
    assert.deepEqual(server.failures, []);
  } finally {
    await server.stop();
  }
});

test("where the profile names a warehouse file, readers wait for writers", async () => {
  const server = await startService();
  try {
    const hold = gate();
    const { run: writer } = await server.post(request({ warehouse: "w.duckdb", until: hold.path }));
    const { run: reader } = await server.post(request({ verb: "ls", warehouse: "w.duckdb" }));
    assert.equal(reader.waitingFor, writer.id);
    assert.match(reader.warehouseFile ?? "", /workspaces\/[0-9a-f]{64}\/1\/tree\/w\.duckdb$/);
    const busy = { ...request({ verb: "ls", warehouse: "w.duckdb" }), noWait: true };
    const refused = await server.send({ method: "POST", url: "/api/v1/runs", payload: busy });
    assert.equal(refused.statusCode, 409);
    assert.equal(refused.json().error.code, "workspace_busy");
    assert.match(refused.json().error.message, /run 1 \(dbt run/);
    hold.open();
    await runUntil(server, reader.id, ended);
    const { run: free } = await server.post({ ...request({ verb: "ls", warehouse: "w.duckdb" }), noWait: true });
    await runUntil(server, free.id, ended);
  } finally {
    await server.stop();
  }
});

test("only so many runs go on at once, in order, and each is launched once", async () => {
  const server = await startService({ settings: { maxRuns: 1 } });
  try {
    const hold = gate();
    const { run: first } = await server.post(request({ workspace: "a", until: hold.path }));
    const others = await Promise.all(["b", "c"].map((workspace) => server.post(request({ workspace }))));
    for (const { run } of others) assert.equal((await viewOf(server, run.id)).waitingFor, first.id);
    hold.open();
    const [second, third] = await Promise.all(others.map(({ run }) => runUntil(server, run.id, ended)));
    const [earlier, later] = [second, third].sort((a, b) => (a?.number ?? 0) - (b?.number ?? 0));
    assert.ok((earlier?.finishedAt ?? "") <= (later?.startedAt ?? ""));
    for (const { run } of others) assert.equal((await logOf(server, run.id)).split("root 1").length, 2);
  } finally {
    await server.stop();
  }
});

test("a server that comes back knows the jobs that go on, and launches what waited", async () => {
  const before = await startService();
  const hold = gate();
  const { run: first } = await before.post(request({ until: hold.path }));
  const { run: second } = await before.post(request({}));
  await runUntil(before, first.id, running);
  await before.stop();
  const after = await startService({ dataDir: before.dataDir });
  try {
    assert.equal((await viewOf(after, second.id)).waitingFor, first.id);
    hold.open();
    assert.equal((await runUntil(after, second.id, ended)).status, "success");
    assert.equal((await after.stores.runs.require(first.id)).status, "success");
  } finally {
    await after.stop();
  }
});
