/** Many followers of one run: does each get every byte, how late, and what does the server need for it. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { freePort, node, until } from "../test/harness.ts";
import { clockCommand, type Latency, writeMacro } from "./latency.ts";
import { memoryMiB, newProject, remoteSide } from "./sides.ts";
import type { Stopwatch } from "./stopwatch.ts";

export interface Followers extends Latency {
  readonly followers: number;
  /** Followers that got every byte, in order, to the log's end. */
  readonly complete: number;
  readonly serverPeakMiB: number;
  /** Seconds, of the server alone, from the first follower to the last one's end. */
  readonly serverCpu: number;
}

/** Starts one run and follows it `count` times from another process. */
export async function measureFollowers(stopwatch: Stopwatch, count: number, lines: number): Promise<Followers> {
  const project = newProject(20);
  writeMacro(project);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const remote = await remoteSide(stopwatch, project, {
    port,
    warm: false,
    args: ["--auth", "none"],
    cliEnv: { DBT_SERVER_URL: url },
  });
  try {
    await remote.run(["parse"]);
    const started = await remote.run(["--detach", ...clockCommand(lines)]);
    const id = started.lines[0]?.[2] ?? "";
    const log = `${url}/api/v1/runs/${id}/log`;
    const before = remote.serverOwnCpu();
    const child = spawn(node, [join(import.meta.dirname, "follow-many.ts"), log, String(count)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const answer = JSON.parse(await text(child.stdout)) as {
      digests: Record<string, number>;
      ended: number;
      latency: Latency;
    };
    const run = await until("the run's end", async () => {
      const response = await fetch(`${url}/api/v1/runs/${id}`);
      const view = (await response.json()) as { finishedAt: string | null };
      return view.finishedAt === null ? undefined : view;
    });
    if (!run) throw new Error(`run ${id} did not end`);
    const plain = await fetch(log, { headers: { accept: "text/plain" } });
    const whole = await sha256(await plain.arrayBuffer());
    return {
      followers: count,
      complete: Math.min(answer.ended, answer.digests[whole] ?? 0),
      serverPeakMiB: memoryMiB(remote.server.pid),
      serverCpu: remote.serverOwnCpu() - before,
      ...answer.latency,
    };
  } finally {
    await remote.stop();
  }
}

async function sha256(bytes: ArrayBuffer): Promise<string> {
  return Buffer.from(await crypto.subtle.digest("SHA-256", bytes)).toString("hex");
}
