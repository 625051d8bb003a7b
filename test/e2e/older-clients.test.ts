import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { root, startServer, until } from "../harness.ts";
import { python } from "../programs.ts";
import { newestRun, tokenOf } from "./gated.ts";

const recorded = gunzipSync(readFileSync(join(root, "test/fixtures/older-client/post-dbt.bin.gz"))).toString("latin1");

interface Page {
  readonly run_status: string;
  readonly run_logs: readonly string[];
}

test("a project of dbt 1.7, as the older client posts it, is built by the dbt of today", async () => {
  const server = await startServer();
  try {
    const headers = { authorization: `Bearer ${tokenOf(server)}` };
    const get = async (url: string) => (await fetch(url, { headers })).json();
    assert.deepEqual(await get(`${server.url}/version`), { version: "0.4.6" });
    const body = recorded.replace("http://127.0.0.1:8001", server.url).replace("run --vars", "build --vars");
    const answer = await fetch(`${server.url}/dbt`, {
      method: "POST",
      headers: { ...headers, "content-type": "multipart/form-data; boundary=14163410b1d66653bcc74f49259b9ba6" },
      body: Buffer.from(body, "latin1"),
    });
    const text = await answer.text();
    assert.equal(answer.status, 202, text);
    const { uuid, links } = JSON.parse(text) as { uuid: string; links: { last_logs: string } };
    const lines: string[] = [];
    const status = await until(
      "the end of the run",
      async () => {
        const page = (await get(links.last_logs)) as Page;
        lines.push(...page.run_logs);
        return page.run_status === "pending" || page.run_status === "running" ? undefined : page.run_status;
      },
      60_000,
    );
    assert.equal(status, "success", lines.join("\n"));
    assert.match(lines.join("\n"), /Done\. PASS=3 WARN=0 ERROR=0/);
    assert.match(lines.at(-1) ?? "", /^\S+Z\tINFO\t\[job\] END JOB$/);
    for (const line of lines) assert.match(line, /^[0-9T:-]{19}Z\t(INFO|WARN)\t\[(dbt|job)\] (?!\d\d:\d\d:)[^\t\n]+$/);
    assert.deepEqual(((await get(`${server.url}/job/${uuid}/logs`)) as Page).run_logs, lines);
    const { warehouseFile } = await newestRun(server);
    const query = `import duckdb; print(duckdb.connect(${JSON.stringify(warehouseFile)}).sql("select id, name, cutoff from prod.names order by id").fetchall())`;
    assert.equal(spawnSync(python, ["-c", query], { encoding: "utf8" }).stdout, "[(1, 'Ada', 5), (2, 'Grace', 5)]\n");
  } finally {
    await server.stop();
  }
});
