/** A warm parent and its engine, with what they say of themselves, for tests. */
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { dbtEnvironment } from "../src/dbt/job-environment.ts";
import type { DbtEngine, DbtInvocation, DbtProcess } from "../src/dbt/port.ts";
import { createProcessEngine } from "../src/dbt/process-engine.ts";
import { createWarmEngine } from "../src/dbt/warm-engine.ts";
import {
  startWarmParent,
  type WarmParent,
  type WarmParentOptions,
  type WarmParentStats,
} from "../src/dbt/warm-parent.ts";
import { python, until } from "./programs.ts";

/** A new process for every run: what warm runs are compared with, and what they fall back to. */
export const coldEngine: DbtEngine = createProcessEngine({ python, version: "1", adapters: [] });

/** What dbt may see of this process's environment, and these. */
export function environment(own: Readonly<Record<string, string>> = {}): Record<string, string> {
  return dbtEnvironment({ serverEnv: process.env, allow: [], envelopeEnv: {}, own });
}

export interface Warm {
  readonly parent: WarmParent;
  readonly engine: DbtEngine;
  /** What the engine said, oldest first. */
  readonly notes: string[];
  /** What was said since it was last asked. */
  news(): string[];
  /** Resolves when it has ended. */
  close(): Promise<void>;
  /** Resolves with what the parent holds once it holds this. */
  holding(what: (stats: WarmParentStats) => boolean): Promise<WarmParentStats>;
}

export function warmEngine(parent: Pick<WarmParent, "socketPath">, notes: string[], answerMs = 60_000): DbtEngine {
  return createWarmEngine({
    socketPath: parent.socketPath,
    answerMs,
    fallback: coldEngine,
    parseState: ({ cwd }) => join(cwd, "target", "partial_parse.msgpack"),
    debug: (text) => notes.push(text),
  });
}

export function openWarm(options: Partial<WarmParentOptions> = {}): Warm {
  const defaults = { python, env: environment(), tempFolder: tmpdir(), projects: 4, memoryBytes: 2 ** 30 };
  const parent = startWarmParent({ ...defaults, ...options });
  const notes: string[] = [];
  return {
    parent,
    engine: warmEngine(parent, notes),
    notes,
    async close() {
      const keepAlive = setInterval(() => {}, 1_000);
      parent.stop();
      await parent.ended;
      clearInterval(keepAlive);
    },
    news: () => notes.splice(0),
    holding: (what) =>
      until("what the warm parent holds", async () => {
        const stats = await parent.stats().catch(() => undefined);
        return stats !== undefined && what(stats) ? stats : undefined;
      }),
  };
}

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly events: string;
  readonly code: number | null;
  readonly signal: string | null;
}

export async function collect(dbt: DbtProcess): Promise<Outcome> {
  const streams = [dbt.stdout, dbt.stderr, dbt.events].map((stream) => buffer(stream).then(String));
  const [stdout = "", stderr = "", events = ""] = await Promise.all(streams);
  return { stdout, stderr, events, ...(await dbt.exit) };
}

/** Runs one command to its end. */
export async function run(engine: DbtEngine, invocation: DbtInvocation): Promise<Outcome> {
  return collect(await engine.start(invocation));
}

/** Resolves when the process has used CPU for a while: what it does has begun. */
export async function isBusy(pid: number): Promise<void> {
  const ticks = (): number => {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ");
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = ticks();
  await until(`process ${pid} at work`, () => ticks() - before > 50);
}
