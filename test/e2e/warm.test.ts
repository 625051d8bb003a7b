import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { MetricsAnswer } from "../../src/api/schemas/server.ts";
import { cli, copyProject, root, startServer, tempFolder, until } from "../harness.ts";
import { tokenOf } from "./gated.ts";

const env = { DBT_PROFILES_DIR: join(root, "test/fixtures/projects/tiny-profiles") };

test("runs are forks of a process that has loaded dbt, and find their project's manifest in memory", {
  skip: process.platform === "linux" ? false : "forks on Linux alone",
}, async (context) => {
  const server = await startServer({ home: tempFolder("home"), env: { DBT_SERVER_WARM: "on", DBT_SERVER_DEBUG: "1" } });
  context.after(() => server.stop());
  const metrics = async (): Promise<MetricsAnswer> => {
    const headers = { authorization: `Bearer ${tokenOf(server)}` };
    const response = await fetch(`${server.url}/api/v1/metrics`, { headers });
    assert.equal(response.status, 200);
    return (await response.json()) as MetricsAnswer;
  };
  const project = copyProject("tiny");
  const run = (...args: string[]) => cli(args, { server, cwd: project, env });
  const held = () =>
    until("the project's manifest in memory, and a process that waits for its next run", async () => {
      const holders = (await metrics()).warm[0]?.stats?.holders ?? [];
      return holders.length === 1 && holders.every(({ isReady, sparePid }) => isReady && sparePid !== null);
    });

  const built = await run("build");
  assert.equal(built.code, 0, built.stdout + built.stderr);
  await held();
  writeFileSync(join(project, "models", "names.sql"), "select id, name || '!' as name from {{ ref('people') }}\n");
  for (const args of [["run"], ["ls"]]) {
    const result = await run(...args);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    await held();
  }
  const [parent, ...others] = (await metrics()).warm;
  assert.deepEqual(others, []);
  assert.deepEqual([parent?.state, parent?.stats?.forked, parent?.stats?.handed], ["ready", 3, 2], server.stderr());
  const pid = parent?.stats?.pid ?? 0;
  await server.stop();
  await until("the end of the warm process", () => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  });
});
