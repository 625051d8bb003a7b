/** Local dbt against dbt-remote, in alternation, to the exit of the program that was typed. */
import { localSide, remoteSide, type Side, startedSide } from "./sides.ts";
import { median, spread } from "./statistics.ts";
import type { Stopwatch, Timing } from "./stopwatch.ts";

/** Local dbt; a server that was just started; one that keeps dbt warm; one that starts a new process for each run. */
export const SIDES = ["local", "started", "warm", "process"] as const;
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

export interface Row {
  readonly what: string;
  readonly args: readonly string[];
  readonly sides: readonly SideName[];
  /** How often each side does it. */
  readonly rounds: number;
  /** Before each round, on each side. */
  readonly edit?: (project: string, round: number) => void;
}

export interface Subject {
  readonly name: string;
  /** Makes a copy of the project, for one side. */
  readonly project: () => string;
  /** What has to be there before anything is measured. */
  readonly first: readonly string[];
  readonly rows: readonly Row[];
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

async function measure(side: Side, args: readonly string[]): Promise<Measured> {
  await side.begin?.();
  const before = side.serverCpu();
  const timing = await side.run(args);
  const cpu = timing.cpu + side.serverCpu() - before;
  await side.end?.();
  return measured(timing, cpu, `dbt ${args.join(" ")}`);
}

/** The order of the sides turns from one round to the next; each finds the machine at rest. */
export async function compareSides(
  stopwatch: Stopwatch,
  subject: Subject,
): Promise<{ rows: Comparison[]; memory: Memory }> {
  const unwarmed = await remoteSide(stopwatch, subject.project(), { warm: false });
  const warm = await remoteSide(stopwatch, subject.project(), { warm: true });
  const all: Readonly<Record<SideName, Side>> = {
    local: localSide(stopwatch, subject.project()),
    started: await startedSide(stopwatch, subject.project()),
    warm,
    process: unwarmed,
  };
  const rows: Comparison[] = [];
  try {
    for (const side of SIDES) await measure(all[side], subject.first);
    await warm.isWarm();
    for (const { what, args, edit, sides, rounds } of subject.rows) {
      const times: Record<SideName, Measured[]> = { local: [], started: [], warm: [], process: [] };
      for (let round = 0; round < rounds; round++) {
        const turn = round % sides.length;
        for (const side of [...sides.slice(turn), ...sides.slice(0, turn)]) {
          edit?.(all[side].project, round);
          await Promise.all(SIDES.map((each) => all[each].settled()));
          times[side].push(await measure(all[side], args));
        }
      }
      const taken = Object.fromEntries(sides.map((side) => [side, times[side]]));
      rows.push({ project: subject.name, what, measured: taken });
      process.stderr.write(`${subject.name}, ${what}: ${describe(rows.at(-1))}\n`);
    }
    return { rows, memory: { project: subject.name, ...(await warm.memory()) } };
  } finally {
    await Promise.all([unwarmed.stop(), warm.stop()]);
  }
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
