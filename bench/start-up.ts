/** How long the programs themselves take to start, next to a bare Node. */
import { spawn } from "node:child_process";
import { freePort, node, program, tempFolder } from "../test/harness.ts";
import { python } from "../test/programs.ts";
import { environment } from "./sides.ts";
import type { Stopwatch } from "./stopwatch.ts";

export interface StartUp {
  readonly bareNode: readonly number[];
  readonly cliHelp: readonly number[];
  /** From the start of dbt-server until `/check` was answered. */
  readonly serverCheck: readonly number[];
}

export async function measureStartUp(stopwatch: Stopwatch, rounds: number): Promise<StartUp> {
  const home = tempFolder("home");
  const env = environment(home);
  const wall = async (args: readonly string[]) => (await stopwatch.time([node, ...args], { cwd: home, env })).wall;
  const result = { bareNode: [] as number[], cliHelp: [] as number[], serverCheck: [] as number[] };
  for (let round = -1; round < rounds; round++) {
    const times = [await wall(["-e", "0"]), await wall([program("cli"), "--help"]), await serverCheck(env)] as const;
    if (round < 0) continue; // the first fills the caches
    result.bareNode.push(times[0]);
    result.cliHelp.push(times[1]);
    result.serverCheck.push(times[2]);
  }
  return result;
}

async function serverCheck(env: Record<string, string>): Promise<number> {
  const port = await freePort();
  const args = [program("server"), "--port", String(port), "--data-dir", tempFolder("data"), "--python", python];
  const started = performance.now();
  const server = spawn(node, args, { env, stdio: "ignore" });
  const ended = new Promise<void>((resolve) => server.on("close", () => resolve()));
  try {
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${port}/check`).catch(() => undefined);
      if (answer?.ok) return (performance.now() - started) / 1000;
      if (server.exitCode !== null) throw new Error(`dbt-server ended with ${server.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  } finally {
    server.kill("SIGTERM");
    await ended;
  }
}
