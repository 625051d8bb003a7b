/** How long a line takes from dbt's writing it to the reader's screen. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { newProject, remoteSide } from "./sides.ts";
import { percentile } from "./statistics.ts";
import type { Stopwatch } from "./stopwatch.ts";

/** Prints the time, in seconds since the epoch, after each of many short queries. */
export const CLOCK_MACRO = `{% macro print_clock(lines, rows) %}
  {% for line in range(lines) %}
    {% do run_query("select sum(i) from range(" ~ rows ~ ") t(i)") %}
    {{ print("clock " ~ modules.datetime.datetime.now().timestamp()) }}
  {% endfor %}
{% endmacro %}
`;

export interface Latency {
  readonly lines: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export async function measureLatency(stopwatch: Stopwatch, lines: number): Promise<Latency> {
  const project = newProject(20);
  writeMacro(project);
  const remote = await remoteSide(stopwatch, project, { warm: false });
  try {
    await remote.run(["parse"]);
    const timing = await remote.run(clockCommand(lines));
    if (timing.code !== 0) throw new Error(`print_clock ended with ${timing.code}: ${timing.stderr}`);
    return latencyOf(timing.lines.map(([, at, text]) => [at, text] as const));
  } finally {
    await remote.stop();
  }
}

export function writeMacro(project: string): void {
  writeFileSync(join(project, "dbt_project.yml"), `${PROJECT}macro-paths: ["."]\n`);
  writeFileSync(join(project, "clock.sql"), CLOCK_MACRO);
}
const PROJECT = 'name: generated\nversion: "1.0.0"\nprofile: generated\nmodel-paths: ["models"]\n';

/** A command that prints `lines` times, a few tens of milliseconds apart. */
export function clockCommand(lines: number): string[] {
  return ["run-operation", "print_clock", "--args", JSON.stringify({ lines, rows: 2_000_000 })];
}

export function latencyOf(arrivals: readonly (readonly [at: number, text: string])[]): Latency {
  const delays = arrivals.flatMap(([at, text]) => {
    const written = /^clock (\d+\.?\d*)$/.exec(text.trim())?.[1];
    return written === undefined ? [] : [(at - Number(written)) * 1000];
  });
  return { lines: delays.length, p50Ms: percentile(delays, 50), p99Ms: percentile(delays, 99) };
}
