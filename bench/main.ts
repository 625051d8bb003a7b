/** `npm run bench [-- --sizes 20,200,1000 --pairs 5 --followers 500 --json FILE --full]`: measures and prints one report. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { python } from "../test/programs.ts";
import { type BytesSent, measureBytesSent } from "./bytes-sent.ts";
import { type Comparison, compare } from "./comparison.ts";
import { type Followers, measureFollowers } from "./followers.ts";
import { measureLatency } from "./latency.ts";
import { load, machine, report } from "./report.ts";
import { measureStartUp } from "./start-up.ts";
import { openStopwatch } from "./stopwatch.ts";

const { values } = parseArgs({
  options: {
    sizes: { type: "string", default: "20,200,1000" },
    pairs: { type: "string", default: "5" },
    followers: { type: "string", default: "500" },
    json: { type: "string" },
    full: { type: "boolean", default: false },
  },
});
const numbers = (text: string) => text.split(",").filter(Boolean).map(Number);
const pairs = Number(values.pairs);

const dbt = execFileSync(python, ["-c", "import importlib.metadata as m; print(m.version('dbt-core'))"], {
  encoding: "utf8",
}).trim();
const loadBefore = load();
const stopwatch = openStopwatch();
const comparisons: Comparison[] = [];
const bytesSent: BytesSent[] = [];
for (const models of numbers(values.sizes)) {
  comparisons.push(...(await compare(stopwatch, models, pairs)));
  bytesSent.push(await measureBytesSent(stopwatch, models));
}
if (values.full) {
  comparisons.push(...(await compare(stopwatch, 5000, 2)));
  bytesSent.push(await measureBytesSent(stopwatch, 5000));
}
const startUp = await measureStartUp(stopwatch, 10);
const latency = await measureLatency(stopwatch, 300);
const followers: Followers[] = [];
for (const count of numbers(values.followers)) followers.push(await measureFollowers(stopwatch, count, 200));
stopwatch.close();

const results = {
  machine: machine(),
  versions: `Node ${process.version}, dbt-core ${dbt}`,
  loadBefore,
  comparisons,
  startUp,
  latency,
  followers,
  bytesSent,
};
if (values.json) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
console.log(report(results));
process.exit(0);
