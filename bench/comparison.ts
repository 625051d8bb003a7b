/** Local dbt against dbt-remote, in alternation, to the exit of the program that was typed. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { modelName, modelPath } from "./generate.ts";
import { localSide, newProject, type RemoteSide, remoteSide } from "./sides.ts";
import { median, spread } from "./statistics.ts";
import type { Stopwatch, Timing } from "./stopwatch.ts";

export interface Comparison {
  readonly models: number;
  readonly what: string;
  readonly pairs: number;
  readonly local: readonly Measured[];
  readonly remote: readonly Measured[];
}

export interface Measured {
  readonly wall: number;
  readonly cpu: number;
  readonly firstLine: number;
  /** What dbt itself says it took, without its start; NaN where it does not say. */
  readonly dbtElapsed: number;
}

function measured(timing: Timing, cpu: number, what: string): Measured {
  if (timing.code !== 0) {
    const said = timing.lines.map(([, , text]) => text).join("\n");
    throw new Error(`${what} ended with ${timing.code}:\n${said}\n${timing.stderr}`);
  }
  const elapsed = timing.lines.map(([, , text]) => /\((\d+\.\d+)s\)\.?$/.exec(text)?.[1]).find(Boolean);
  return {
    wall: timing.wall,
    cpu,
    firstLine: timing.firstLine ?? timing.wall,
    dbtElapsed: Number(elapsed ?? Number.NaN),
  };
}

async function remotely(side: RemoteSide, args: readonly string[]): Promise<Measured> {
  const before = side.serverCpu();
  const timing = await side.run(args);
  return measured(timing, timing.cpu + side.serverCpu() - before, `dbt-remote ${args.join(" ")}`);
}

const edit = (project: string, index: number, round: number) =>
  appendFileSync(join(project, modelPath(index)), `-- edited ${round}\n`);

/** One row a command. `pairs` pairs each, the order within a pair changing from one to the next. */
export async function compare(stopwatch: Stopwatch, models: number, pairs: number): Promise<Comparison[]> {
  const index = Math.min(models - 1, 15);
  const one = modelName(index);
  const local = localSide(stopwatch, newProject(models));
  const remote = await remoteSide(stopwatch, newProject(models));
  const locally = async (args: readonly string[]) => {
    const timing = await local.run(args);
    return measured(timing, timing.cpu, `dbt ${args.join(" ")}`);
  };
  const rows: Comparison[] = [];
  const row = async (what: string, args: readonly string[], before?: (round: number) => void) => {
    const times = { local: [] as Measured[], remote: [] as Measured[] };
    for (let round = 0; round < pairs; round++) {
      before?.(round);
      const order = round % 2 === 0 ? (["local", "remote"] as const) : (["remote", "local"] as const);
      for (const side of order) times[side].push(side === "local" ? await locally(args) : await remotely(remote, args));
    }
    rows.push({ models, what, pairs, ...times });
    process.stderr.write(`${models} models, ${what}: ${describe(rows.at(-1))}\n`);
  };
  try {
    const first = [await locally(["run", "-s", one]), await remotely(remote, ["run", "-s", one])] as const;
    rows.push({ models, what: "first run, nothing there yet", pairs: 1, local: [first[0]], remote: [first[1]] });
    // the models above must exist, and both sides have their parse state from here on
    await locally(["run", "-s", `+${one}`]);
    await remotely(remote, ["run", "-s", `+${one}`]);
    await row("`ls -s one`", ["ls", "-s", one]);
    await row("`compile -s one`", ["compile", "-s", one]);
    await row("`show --inline`", ["show", "--inline", "select 1 as one"]);
    await row("`run -s one`", ["run", "-s", one]);
    await row("`run -s one`, edited", ["run", "-s", one], (round) => {
      for (const side of [local, remote]) edit(side.project, index, round);
    });
    if (models <= 20) await row("`build`", ["build"]);
  } finally {
    await remote.stop();
  }
  return rows;
}

/** Ratio of each pair, remote by local. */
export function ratios(row: Comparison, of: "wall" | "cpu"): number[] {
  return row.remote.map((remote, pair) => remote[of] / (row.local[pair]?.[of] ?? Number.NaN));
}

/** Seconds by which each remote command took longer than its local pair. */
export function overheads(row: Comparison): number[] {
  return row.remote.map((remote, pair) => remote.wall - (row.local[pair]?.wall ?? Number.NaN));
}

function describe(row: Comparison | undefined): string {
  if (!row) return "";
  const walls = (side: readonly Measured[]) => spread(side.map((each) => each.wall));
  return `local ${walls(row.local)} s, remote ${walls(row.remote)} s, ratio ${median(ratios(row, "wall")).toFixed(2)}`;
}
