import assert from "node:assert/strict";
import { closeSync, existsSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startCli, startServer } from "../harness.ts";
import { requirePart } from "../require.ts";
import { DUCKDB_PROFILE, projectYaml, writeFiles } from "./written-project.ts";

const LIMIT_MB = 250;
const SEED_BYTES = 100 * 1024 * 1024;

/** The most memory that a running process has had. */
function peakMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  // One that has ended and was not waited for yet has none.
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) / 1024;
}

test("5,000 files and a seed of 100 MB arrive whole; CLI and server stay small", async (context) => {
  if (!requirePart(context, "/proc", existsSync("/proc/self/status"), "memory is read there")) return;
  const project = writeFiles({
    "dbt_project.yml": projectYaml("seeds: {p: {+enabled: false}}\n"),
    "profiles.yml": DUCKDB_PROFILE,
    "dbt_remote.yml": "include: [data]\n",
    "macros/m.sql":
      "{% macro m() %}{% do print('files ' ~ run_query(\"select count(*), sum(size) from read_text('data/*/*.txt')\").rows[0].values()) %}{% do print('seed ' ~ run_query(\"select size from read_blob('seeds/large.csv')\").rows[0][0]) %}{% endmacro %}",
    "seeds/large.csv": "text\n",
    ...Object.fromEntries(
      Array.from({ length: 5000 }, (_, at) => [`data/${at % 50}/${at}.txt`, `the text of file ${at}\n`]),
    ),
  });
  const file = openSync(join(project, "seeds", "large.csv"), "a");
  for (let written = 5; written < SEED_BYTES; ) {
    const text = `${Array.from({ length: 5000 }, () => Math.random().toString(36).slice(2)).join("\n")}\n`;
    written += writeSync(file, text);
  }
  closeSync(file);
  const { size } = statSync(join(project, "seeds", "large.csv"));

  const server = await startServer();
  try {
    const run = async () => {
      const program = startCli(["run-operation", "m"], { cwd: project, server, timeoutMs: 600_000 });
      let peak = 0;
      const watch = setInterval(() => {
        try {
          peak = Math.max(peak, peakMb(program.pid));
        } catch {
          // it has ended
        }
      }, 20);
      const { code, stdout, stderr } = await program.done.finally(() => clearInterval(watch));
      assert.equal(code, 0, stdout + stderr);
      assert.match(stdout, /^files \(5000, /m);
      assert.ok(stdout.includes(`seed ${size}\n`), stdout);
      context.diagnostic(`dbt-remote: ${Math.round(peak)} MB, dbt-server: ${Math.round(peakMb(server.pid))} MB`);
      assert.ok(peak > 0 && peak < LIMIT_MB, `dbt-remote had ${peak} MB`);
    };
    await run();
    await run();
    const peak = peakMb(server.pid);
    assert.ok(peak < LIMIT_MB, `dbt-server had ${peak} MB`);
  } finally {
    await server.stop();
  }
});
