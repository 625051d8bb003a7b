/** The benchmark's tables, in Markdown. */
import { cpus, loadavg, release, totalmem, type } from "node:os";
import type { RunCost } from "../test/run-cost.ts";
import type { BytesSent } from "./bytes-sent.ts";
import { cloudCostRows } from "./cloud-cost.ts";
import { type ColdExecution, coldExecutionRows } from "./cold-execution.ts";
import { type Comparison, type Measured, type Memory, overheads, ratios, SIDES, type SideName } from "./comparison.ts";
import type { Followers } from "./followers.ts";
import type { Latency } from "./latency.ts";
import type { ManyRuns } from "./many-runs.ts";
import type { StartUp } from "./start-up.ts";
import { median, spread } from "./statistics.ts";

export interface Results {
  readonly machine: string;
  readonly versions: string;
  /** Averages of 1, 5 and 15 minutes. */
  readonly load: { readonly before: string; readonly after: string };
  readonly comparisons: readonly Comparison[];
  readonly memory: readonly Memory[];
  readonly startUp: StartUp;
  readonly latency: Latency;
  readonly followers: readonly Followers[];
  readonly manyRuns: readonly ManyRuns[];
  readonly bytesSent: readonly BytesSent[];
  readonly cloudCosts: readonly RunCost[];
  readonly coldExecution: ColdExecution | undefined;
}

export function machine(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${gib} GiB, ${type()} ${release()}`;
}

export function load(): string {
  return loadavg()
    .map((value) => value.toFixed(2))
    .join(" ");
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

const kb = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;
const inMs = (values: readonly number[]) =>
  spread(
    values.map((value) => value * 1000),
    0,
  );

/** What a side is called in a table. */
const NAMES: Readonly<Record<SideName, string>> = {
  local: "local dbt",
  started: "dbt-remote, server just started",
  warm: "dbt-remote, warm",
  process: "dbt-remote, dbt not kept warm",
};

function comparisonRows(row: Comparison): string[][] {
  return SIDES.flatMap((side) => {
    const measured = row.measured[side];
    if (measured === undefined) return [];
    const of = (value: (each: Measured) => number) => spread(measured.map(value));
    const beside = measured.map((each) => each.wall - each.dbtElapsed).filter((value) => !Number.isNaN(value));
    const ratio = (key: "wall" | "cpu") => (side === "local" ? "1" : median(ratios(row, side, key)).toFixed(2));
    return [
      [
        ...[row.project, row.what, NAMES[side], String(measured.length)],
        of(({ wall }) => wall),
        ratio("wall"),
        side === "local" ? "–" : spread(overheads(row, side)),
        of(({ firstLine }) => firstLine),
        beside.length === 0 ? "–" : spread(beside),
        of(({ cpu }) => cpu),
        ratio("cpu"),
        median(measured.map(({ peakMiB }) => peakMiB)).toFixed(0),
      ],
    ];
  });
}

const COMPARISON_HEAD = [
  ...["project", "command", "by", "times", "total, s", "× local", "longer than local, s", "first line, s"],
  ...["beside dbt's own time, s", "CPU, s", "CPU × local", "program's peak, MiB"],
];

function startUpTable({ bareNode, cliHelp, serverCheck }: StartUp): string {
  const ratio = (median(cliHelp) / median(bareNode)).toFixed(2);
  return table(
    ["bare Node, ms", "`dbt-remote --help`, ms", "ratio", "dbt-server to `/check`, ms"],
    [[inMs(bareNode), inMs(cliHelp), ratio, inMs(serverCheck)]],
  );
}

function followersTable(latency: Latency, followers: readonly Followers[]): string {
  const times = ({ lines, p50Ms, p99Ms }: Latency) => [String(lines), p50Ms.toFixed(0), p99Ms.toFixed(0)];
  return table(
    ["followers", "complete", "lines", "line → screen p50, ms", "p99, ms", "server's peak, MiB", "server's CPU, s"],
    [
      ["1, dbt-remote", "1", ...times(latency), "–", "–"],
      ...followers.map((each) => [
        ...[String(each.followers), String(each.complete), ...times(each)],
        ...[each.serverPeakMiB.toFixed(0), each.serverCpu.toFixed(1)],
      ]),
    ],
  );
}

function manyRunsTable(manyRuns: readonly ManyRuns[]): string {
  return table(
    ["runs at once", "by", "all done after, s", "each, s", "CPU, s", "server and all it started, peak MiB"],
    manyRuns.flatMap(({ runs, local, warm }) =>
      (["local", "warm"] as const).map((side) => {
        const { total, walls, cpu } = side === "local" ? local : warm;
        const peak = side === "local" ? "–" : warm.peakMiB.toFixed(0);
        return [String(runs), NAMES[side], total.toFixed(2), spread(walls), cpu.toFixed(1), peak];
      }),
    ),
  );
}

function bytesTable(bytesSent: readonly BytesSent[]): string {
  const head = ["models", "project", "sent at first", "sent unchanged", "sent, one model edited", "posted after, ms"];
  return table(
    head,
    bytesSent.map((each) => [
      ...[String(each.models), kb(each.projectBytes), kb(each.first), kb(each.unchanged), kb(each.oneEdited)],
      spread(each.postedMs, 0),
    ]),
  );
}

function memoryTable(memory: readonly Memory[]): string {
  return table(
    ["project", "dbt-server, MiB", "warm dbt, MiB", "manifests held", "their own memory, MiB"],
    memory.map((each) => [
      ...[each.project, each.serverMiB.toFixed(0), each.parentMiB.toFixed(0), String(each.manifests)],
      each.holdersMiB.toFixed(0),
    ]),
  );
}

function tableOf([head = [], ...rows]: readonly string[][]): string {
  return table(head, rows);
}

export function report(results: Results): string {
  return [
    `Machine: ${results.machine}. Load before: ${results.load.before}; after: ${results.load.after}. ${results.versions}.`,
    "Medians (minimum–maximum), wall-clock to the exit of the command that was typed; ratios and differences are medians over neighbours in time.",
    table(COMPARISON_HEAD, results.comparisons.flatMap(comparisonRows)),
    startUpTable(results.startUp),
    followersTable(results.latency, results.followers),
    manyRunsTable(results.manyRuns),
    bytesTable(results.bytesSent),
    memoryTable(results.memory),
    ...(results.cloudCosts.length === 0 ? [] : [tableOf(cloudCostRows(results.cloudCosts))]),
    ...(results.coldExecution === undefined ? [] : [tableOf(coldExecutionRows(results.coldExecution))]),
  ].join("\n\n");
}
