/** Many runs at once, each in a workspace of its own, by local dbt and by one warm server. */

import { modelName } from "./generate.ts";
import { environment, localSide, memoryMiB, newProject, processTree, remoteSide, type Side } from "./sides.ts";
import { openStopwatch, type Stopwatch } from "./stopwatch.ts";

export interface ManyRuns {
  readonly runs: number;
  readonly local: Crowd;
  readonly warm: Crowd & {
    /** Peak of the server and of all that it has started, together, in MiB. */
    readonly peakMiB: number;
  };
}

export interface Crowd {
  /** Seconds from the first start to the last end. */
  readonly total: number;
  /** Seconds each took. */
  readonly walls: readonly number[];
  readonly cpu: number;
}

const SAMPLE_MS = 250;

export async function measureManyRuns(stopwatch: Stopwatch, runs: number): Promise<ManyRuns> {
  // a stopwatch times one program after the other
  const stopwatches = Array.from({ length: runs }, openStopwatch);
  const projects = stopwatches.map(() => newProject(20));
  const args = ["run", "-s", `+${modelName(15)}`];
  const local = projects.map((project, index) => localSide(stopwatches[index] ?? stopwatch, project));
  const server = await remoteSide(stopwatch, newProject(20), { warm: true });
  try {
    await server.run(args);
    await server.isWarm();
    const env = environment(server.server.home);
    const remote: Pick<Side, "run">[] = projects.map((project, index) => ({
      run: (typed) => (stopwatches[index] ?? stopwatch).time(server.command(typed), { cwd: project, env }),
    }));
    // their workspaces are there, as their parse state is
    for (const one of [...local, ...remote]) await one.run(args);
    await server.settled();
    const locally = await crowd(local, args, () => 0);
    let peakMiB = 0;
    const sampler = setInterval(() => {
      const all = processTree(server.server.pid).map((pid) => memoryMiB(pid, "Pss"));
      peakMiB = Math.max(
        peakMiB,
        all.filter(Number.isFinite).reduce((total, each) => total + each, 0),
      );
    }, SAMPLE_MS);
    const warmly = await crowd(remote, args, () => server.serverCpu());
    clearInterval(sampler);
    return { runs, local: locally, warm: { ...warmly, peakMiB } };
  } finally {
    for (const each of stopwatches) each.close();
    await server.stop();
  }
}

async function crowd(
  sides: readonly Pick<Side, "run">[],
  args: readonly string[],
  serverCpu: () => number,
): Promise<Crowd> {
  const [before, started] = [serverCpu(), performance.now()];
  const timings = await Promise.all(sides.map((side) => side.run(args)));
  const failed = timings.find(({ code }) => code !== 0);
  if (failed) throw new Error(`one of ${sides.length} runs ended with ${failed.code}: ${failed.stderr}`);
  return {
    total: (performance.now() - started) / 1000,
    walls: timings.map(({ wall }) => wall),
    cpu: timings.reduce((sum, { cpu }) => sum + cpu, 0) + serverCpu() - before,
  };
}
