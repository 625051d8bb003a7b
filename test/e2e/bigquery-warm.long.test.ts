/** dbt-bigquery kept warm, as far as it can be tried without a warehouse: forks of a process that has imported gRPC. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createProcessEngine } from "../../src/dbt/process-engine.ts";
import { bigqueryVenv } from "../bigquery-venv.ts";
import { maskText } from "../parity/mask.ts";
import { requirePart } from "../require.ts";
import { environment, type Outcome, openWarm, run } from "../warm.ts";
import { projectYaml, writeFiles } from "./written-project.ts";

const venv = bigqueryVenv();

const WARM = /^dbt runs warm/;
const HANDED_OVER = "dbt took the project's manifest from memory";
const FILES = {
  "dbt_project.yml": projectYaml(),
  "profiles.yml": `p:
  target: dev
  outputs:
    dev: {type: bigquery, method: oauth, project: my-project, dataset: shop, threads: 2, job_retries: 0}
    nobody: {type: bigquery, method: oauth-secrets, token: of-no-use, project: my-project, dataset: shop, threads: 2,
             job_retries: 0, api_endpoint: "http://127.0.0.1:9", job_retry_deadline_seconds: 1}
`,
  "models/one.sql": "select 1 as id",
  "models/two.sql": "{{ config(materialized='table') }} select id from {{ ref('one') }}",
};

test("dbt-bigquery runs in forks", {
  skip: process.platform === "linux" ? false : "forks on Linux alone",
  timeout: 600_000,
}, async (context) => {
  if ("missing" in venv) {
    requirePart(context, "dbt-bigquery", false, venv.missing);
    return;
  }
  const warm = openWarm({ python: venv.python });
  context.after(() => warm.close());
  const cold = createProcessEngine({ python: venv.python, version: "1", adapters: [] });
  const [warmIn, coldIn] = [writeFiles(FILES), writeFiles(FILES)];
  const env = environment({ NO_GCE_CHECK: "true", GOOGLE_CLOUD_PROJECT: "my-project" });
  const shown = ({ stdout, stderr, code, signal }: Outcome, root: string) => ({
    stdout: maskText(stdout, { root }),
    stderr: maskText(stderr, { root }),
    ...{ code, signal },
  });
  /** Both in the same way; what the warm one said of itself. */
  const both = async (...args: readonly string[]) => {
    const warmly = await run(warm.engine, { args, cwd: warmIn, env });
    const coldly = await run(cold, { args, cwd: coldIn, env });
    assert.deepEqual(shown(warmly, warmIn), shown(coldly, coldIn), args.join(" "));
    const [first, ...rest] = warm.news();
    assert.match(first ?? "", WARM, args.join(" "));
    return { ...warmly, notes: rest };
  };

  await context.test("parse and ls, twice each, with gRPC loaded before the fork", async () => {
    assert.equal((await both("parse")).code, 0);
    const maps = readFileSync(`/proc/${warm.parent.pid}/maps`, "utf8");
    assert.match(maps, /grpc\/_cython\/cygrpc/);
    const parseState = join(warmIn, "target", "partial_parse.msgpack");
    await warm.holding(({ holders }) => holders.some((each) => each.parseState === parseState && each.isPrepared));
    for (const args of [["ls", "--output", "name"], ["parse"], ["ls", "-s", "two", "--output", "name"]]) {
      const { code, notes } = await both(...args);
      assert.equal(code, 0);
      assert.deepEqual(notes, [HANDED_OVER]);
    }
  });
  await context.test("a connection that fails does so with dbt's own words, and ends", async () => {
    const without = await both("run", "-s", "two");
    assert.equal(without.code, 2);
    assert.match(without.stdout, /default credentials were not found/i);
    const refused = await both("run", "-s", "one", "--target", "nobody");
    assert.notEqual(refused.code, 0);
    assert.match(refused.stdout, /refused/i);
    // as it is after a run that has used its connection's threads
    assert.equal((await both("ls", "--output", "name")).code, 0);
  });
  assert.ok(existsSync(warm.parent.socketPath), "the process that all were forked from is still there");
});
