/** The benchmark's tables, in Markdown. */
import { cpus, loadavg, release, totalmem, type } from "node:os";
import type { BytesSent } from "./bytes-sent.ts";
import { type Comparison, overheads, ratios } from "./comparison.ts";
import type { Followers } from "./followers.ts";
import type { Latency } from "./latency.ts";
import type { StartUp } from "./start-up.ts";
import { median, spread } from "./statistics.ts";

export interface Results {
  readonly machine: string;
  readonly versions: string;
  readonly loadBefore: string;
  readonly comparisons: readonly Comparison[];
  readonly startUp: StartUp;
  readonly latency: Latency;
  readonly followers: readonly Followers[];
  readonly bytesSent: readonly BytesSent[];
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

function comparisonRow(row: Comparison): string[] {
  const of = (side: "local" | "remote", key: "wall" | "cpu" | "firstLine") =>
    spread(row[side].map((each) => each[key]));
  return [
    String(row.models),
    row.what,
    String(row.pairs),
    of("local", "wall"),
    of("remote", "wall"),
    median(ratios(row, "wall")).toFixed(2),
    spread(overheads(row)),
    of("local", "firstLine"),
    of("remote", "firstLine"),
    median(ratios(row, "cpu")).toFixed(2),
  ];
}

export function report(results: Results): string {
  const { startUp, latency } = results;
  const ms = (values: readonly number[]) =>
    spread(
      values.map((value) => value * 1000),
      0,
    );
  const comparisonHead = [
    "models",
    "command",
    "pairs",
    "local, s",
    "remote, s",
    "ratio",
    "overhead, s",
    "first line local, s",
    "first line remote, s",
    "CPU ratio",
  ];
  return [
    `Machine: ${results.machine}. Load before: ${results.loadBefore}. ${results.versions}.`,
    "Figures are medians (minimum–maximum), wall-clock to the exit of the command typed; ratios and overheads are medians over pairs.",
    table(comparisonHead, results.comparisons.map(comparisonRow)),
    table(
      ["bare Node, ms", "`dbt-remote --help`, ms", "ratio", "dbt-server to `/check`, ms"],
      [
        [
          ms(startUp.bareNode),
          ms(startUp.cliHelp),
          (median(startUp.cliHelp) / median(startUp.bareNode)).toFixed(2),
          ms(startUp.serverCheck),
        ],
      ],
    ),
    table(
      ["followers", "complete", "lines", "line → screen p50, ms", "p99, ms", "server peak, MiB"],
      [
        ["dbt-remote itself", "1", String(latency.lines), latency.p50Ms.toFixed(0), latency.p99Ms.toFixed(0), "–"],
        ...results.followers.map((each) => [
          String(each.followers),
          String(each.complete),
          String(each.lines),
          each.p50Ms.toFixed(0),
          each.p99Ms.toFixed(0),
          each.serverPeakMiB.toFixed(0),
        ]),
      ],
    ),
    table(
      ["models", "project", "sent at first", "sent unchanged", "sent, one model edited"],
      results.bytesSent.map((each) => [
        String(each.models),
        kb(each.projectBytes),
        kb(each.first),
        kb(each.unchanged),
        kb(each.oneEdited),
      ]),
    ),
  ].join("\n\n");
}
