/**
 * `npm run bench [-- --sizes 20,200,1000 --rounds 5 --followers 500,1000 --runs 20 --sent 20,1000,5000 --json FILE --full --cloud]`:
 * measures and prints one report. An empty list leaves a part out.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { prepareExample } from "../scripts/example-data.mjs";
import { python } from "../test/programs.ts";
import { type BytesSent, measureBytesSent } from "./bytes-sent.ts";
import { measureCloudCost } from "./cloud-cost.ts";
import { measureColdExecution } from "./cold-execution.ts";
import { type Comparison, compareSides, type Memory, type Subject } from "./comparison.ts";
import { type Followers, measureFollowers } from "./followers.ts";
import { measureLatency } from "./latency.ts";
import { type ManyRuns, measureManyRuns } from "./many-runs.ts";
import { load, machine, report } from "./report.ts";
import { measureStartUp } from "./start-up.ts";
import { openStopwatch } from "./stopwatch.ts";
import { example, generated } from "./subjects.ts";

const { values } = parseArgs({
  options: {
    sizes: { type: "string", default: "20,200,1000" },
    rounds: { type: "string", default: "5" },
    followers: { type: "string", default: "500,1000" },
    runs: { type: "string", default: "20" },
    sent: { type: "string", default: "20,1000,5000" },
    "no-example": { type: "boolean", default: false },
    json: { type: "string" },
    full: { type: "boolean", default: false },
    // Needs Google's emulators, and five minutes.
    cloud: { type: "boolean", default: false },
  },
});
const numbers = (text: string) => text.split(",").filter(Boolean).map(Number);
const rounds = Number(values.rounds);

const version = ["-c", "import importlib.metadata as m; print(m.version('dbt-core'), m.version('dbt-duckdb'))"];
const [core, adapter] = execFileSync(python, version, { encoding: "utf8" }).trim().split(" ");
const before = load();
const stopwatch = openStopwatch();
const comparisons: Comparison[] = [];
const memory: Memory[] = [];
const compare = async (subject: Subject) => {
  const found = await compareSides(stopwatch, subject);
  comparisons.push(...found.rows);
  memory.push(found.memory);
};
// The short ones first: what is wrong shows early.
const startUp = await measureStartUp(stopwatch, 10);
const latency = await measureLatency(stopwatch, 300);
for (const models of numbers(values.sizes)) await compare(generated(models, rounds));
if (!values["no-example"]) {
  prepareExample();
  await compare(example(rounds));
}
if (values.full) await compare(generated(5000, 2));
const bytesSent: BytesSent[] = [];
for (const models of numbers(values.sent)) bytesSent.push(await measureBytesSent(stopwatch, models));
const followers: Followers[] = [];
for (const count of numbers(values.followers)) followers.push(await measureFollowers(stopwatch, count, 200));
const manyRuns: ManyRuns[] = [];
for (const runs of numbers(values.runs)) manyRuns.push(await measureManyRuns(stopwatch, runs));
stopwatch.close();
const cloudCosts = values.cloud ? await measureCloudCost() : [];
const coldExecution = values.cloud ? await measureColdExecution() : undefined;

const results = {
  machine: machine(),
  versions: `Node ${process.version}, dbt-core ${core}, dbt-duckdb ${adapter}`,
  load: { before, after: load() },
  ...{ comparisons, memory, startUp, latency, followers, manyRuns, bytesSent, cloudCosts, coldExecution },
};
if (values.json) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
console.log(report(results));
process.exit(0);
