/** Local dbt against dbt-remote, in alternation, to the exit of the program that was typed. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { modelName, modelPath } from "./generate.ts";
import { localSide, newExample, newProject, type RemoteSide, remoteSide, type Side } from "./sides.ts";
import { median, spread } from "./statistics.ts";
import type { Stopwatch, Timing } from "./stopwatch.ts";

/** Local dbt; a server that starts a new process for each run; a server that keeps dbt warm. */
export const SIDES = ["local", "cold", "warm"] as const;
export type SideName = (typeof SIDES)[number];

export interface Comparison {
  /** What it was done to: a number of generated models, or the example's name. */
  readonly project: string;
  readonly what: string;
  /** As many of each side; the nth of one was measured next to the nth of the others. */
  readonly measured: Readonly<Partial<Record<SideName, readonly Measured[]>>>;
}

export interface Measured {
  /** Seconds, to the exit. */
  readonly wall: number;
  /** Seconds, of all processes on this machine that had to do with it. */
  readonly cpu: number;
  readonly firstLine: number;
  /** What dbt itself says it took, without its start; NaN where it does not say. */
  readonly dbtElapsed: number;
  /** Peak of the program that was typed. */
  readonly peakMiB: number;
}

export interface Memory {
  readonly project: string;
  readonly serverMiB: number;
  readonly parentMiB: number;
  readonly holdersMiB: number;
  readonly manifests: number;
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
    peakMiB: timing.maxRssKb / 1024,
  };
}

async function measure(side: Side, args: readonly string[], atOnce = false): Promise<Measured> {
  if (!atOnce) await side.settled();
  const before = side.serverCpu();
  const timing = await side.run(args);
  return measured(timing, timing.cpu + side.serverCpu() - before, `dbt ${args.join(" ")}`);
}

interface Row {
  readonly what: string;
  readonly args: readonly string[];
  /** Before each round, on each side. */
  readonly before?: (side: Side, round: number) => Promise<void> | void;
  readonly sides?: readonly SideName[];
  /** Whether what the server does in the background may still go on. */
  readonly atOnce?: boolean;
}

interface Subject {
  readonly name: string;
  readonly project: () => string;
  /** What has to be there before anything is measured. */
  readonly first: readonly string[];
  readonly rows: readonly Row[];
}

/** One row a command, `rounds` times each; the order of the sides turns from one round to the next. */
async function compareSides(
  stopwatch: Stopwatch,
  subject: Subject,
  rounds: number,
): Promise<{ rows: Comparison[]; memory: Memory }> {
  const cold = await remoteSide(stopwatch, subject.project(), { warm: false });
  const warm = await remoteSide(stopwatch, subject.project(), { warm: true });
  const all: Readonly<Record<SideName, Side>> = { local: localSide(stopwatch, subject.project()), cold, warm };
  const rows: Comparison[] = [];
  try {
    for (const side of SIDES) await measure(all[side], subject.first);
    await warm.isWarm();
    for (const { what, args, before, sides = SIDES, atOnce } of subject.rows) {
      const times: Record<SideName, Measured[]> = { local: [], cold: [], warm: [] };
      for (let round = 0; round < rounds; round++) {
        const order = [...sides.slice(round % sides.length), ...sides.slice(0, round % sides.length)];
        for (const side of order) {
          await before?.(all[side], round);
          times[side].push(await measure(all[side], args, atOnce));
        }
      }
      const taken = Object.fromEntries(sides.map((side) => [side, times[side]]));
      rows.push({ project: subject.name, what, measured: taken });
      process.stderr.write(`${subject.name}, ${what}: ${describe(rows.at(-1))}\n`);
    }
    return { rows, memory: { project: subject.name, ...(await warm.memory()) } };
  } finally {
    await Promise.all([cold.stop(), warm.stop()]);
  }
}

/** Generated projects on DuckDB. */
export function compareGenerated(stopwatch: Stopwatch, models: number, rounds: number) {
  const index = Math.min(models - 1, 15);
  const one = modelName(index);
  const run = ["run", "-s", one];
  const edit = ({ project }: Side, round: number) =>
    appendFileSync(join(project, modelPath(index)), `-- edited ${round}\n`);
  return compareSides(
    stopwatch,
    {
      name: `${models} models`,
      project: () => newProject(models),
      // the models above it must exist
      first: ["run", "-s", `+${one}`],
      rows: [
        { what: "`ls -s one`", args: ["ls", "-s", one] },
        { what: "`compile -s one`", args: ["compile", "-s", one] },
        { what: "`show --inline`", args: ["show", "--inline", "select 1 as one"] },
        { what: "`run -s one`", args: run },
        { what: "`run -s one`, that model edited", args: run, before: edit },
        ...(models <= 20 ? [{ what: "`build`", args: ["build"] }] : []),
        {
          ...{ what: "`run -s one`, the server just started", args: run, before: restart },
          ...{ sides: ["local", "warm"], atOnce: true },
        },
      ],
    },
    rounds,
  );
}

/** Local dbt has nothing to restart. */
async function restart(side: Side): Promise<void> {
  await (side as Partial<RemoteSide>).restart?.();
}

/** The project of the demo. */
export function compareExample(stopwatch: Stopwatch, rounds: number) {
  return compareSides(
    stopwatch,
    {
      name: "the example",
      project: newExample,
      first: ["build"],
      rows: [
        { what: "`ls`", args: ["ls"] },
        { what: "`run -s busiest_routes`", args: ["run", "-s", "busiest_routes"] },
        { what: "`build`", args: ["build"] },
      ],
    },
    rounds,
  );
}

/** Ratio of each round to local dbt. */
export function ratios(row: Comparison, side: SideName, of: "wall" | "cpu"): number[] {
  return pairs(row, side, (own, local) => own[of] / local[of]);
}

/** Seconds by which each took longer than local dbt. */
export function overheads(row: Comparison, side: SideName): number[] {
  return pairs(row, side, (own, local) => own.wall - local.wall);
}

function pairs(row: Comparison, side: SideName, of: (own: Measured, local: Measured) => number): number[] {
  return (row.measured[side] ?? []).flatMap((own, round) => {
    const local = row.measured.local?.[round];
    return local === undefined ? [] : [of(own, local)];
  });
}

function describe(row: Comparison | undefined): string {
  if (!row) return "";
  return SIDES.filter((side) => row.measured[side] !== undefined)
    .map((side) => {
      const walls = spread((row.measured[side] ?? []).map(({ wall }) => wall));
      return `${side} ${walls} s${side === "local" ? "" : `, ${median(ratios(row, side, "wall")).toFixed(2)} ×`}`;
    })
    .join("; ");
}
