/** A job for tests of executors: says how it was started, starts a child of its own, and ends when told to. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assignedEnvironment, isSpare } from "../../src/job/spare.ts";

const env = isSpare(process.env) ? await assignedEnvironment() : process.env;
const folder = env["TEST_FOLDER"] ?? "";
const runId = env["DBT_JOB_RUN_ID"] ?? "";

// Like dbt: a process group of its own, below the job.
const child = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60_000)"], { detached: true, stdio: "ignore" });
writeFileSync(join(folder, `${runId}.tmp`), JSON.stringify({ env, childPid: child.pid }));
renameSync(join(folder, `${runId}.tmp`), join(folder, `${runId}.started`));

setTimeout(() => process.exit(99), 120_000);
setInterval(() => {
  if (!existsSync(folder)) process.exit(99);
  const end = join(folder, `${runId}.end`);
  // Made, and then written.
  const exitCode = existsSync(end) ? readFileSync(end, "utf8") : "";
  if (exitCode === "") return;
  child.kill("SIGKILL");
  process.exit(Number(exitCode));
}, 20);
