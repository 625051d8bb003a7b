/** Runs one dbt command: its text and events go to State while it runs, and it ends when it is to be stopped. */
import type { Readable } from "node:stream";
import { type DbtEvent, parseEvent } from "../dbt/events.ts";
import { readOomCounts, wasOutOfMemory } from "../dbt/out-of-memory.ts";
import type { DbtEngine, DbtInvocation, DbtProcess } from "../dbt/port.ts";
import { stopDbt } from "../dbt/stop.ts";
import type { JobLog } from "./job-log.ts";
import type { Ending } from "./outcome.ts";
import type { StopSwitch } from "./stopping.ts";

export interface RunDbtParams {
  readonly engine: Pick<DbtEngine, "start">;
  readonly invocation: DbtInvocation;
  readonly log: JobLog;
  readonly events: JobLog;
  readonly stop: StopSwitch;
}

export interface DbtRunEnding extends Ending {
  /** As dbt reported it. */
  readonly dbtVersion: string | undefined;
  readonly invocationId: string | undefined;
  readonly sawEvents: boolean;
}

/** Resolves when dbt has ended and all that it printed was passed on. Throws `AppError` where it could not be started. */
export async function runDbt({ engine, invocation, log, events, stop }: RunDbtParams): Promise<DbtRunEnding> {
  const before = readOomCounts();
  const dbt = await engine.start(invocation);
  let stopped: Promise<unknown> | undefined;
  let hasEnded = false;
  let request: Ending["stop"];
  stop.onPressed((pressed) => {
    if (hasEnded) return;
    request = pressed;
    stopped = stopDbt(dbt, pressed);
  });
  const reader = createEventReader();
  const exit = dbt.exit.then((ended) => {
    hasEnded = true;
    return ended;
  });
  try {
    await Promise.all([
      pump(dbt.stdout, (chunk) => log.write("out", chunk)),
      pump(dbt.stderr, (chunk) => log.write("err", chunk)),
      pump(dbt.events, (chunk) => {
        reader.push(chunk);
        return events.write("out", chunk);
      }),
    ]);
    const ended = await exit;
    await stopped;
    const outOfMemory = wasOutOfMemory(ended, before, readOomCounts);
    const { dbtVersion, invocationId, sawEvents } = reader;
    return { exit: ended, stop: request, outOfMemory, dbtVersion, invocationId, sawEvents };
  } finally {
    if (!hasEnded) killLeftOver(dbt);
  }
}

async function pump(stream: Readable, pass: (chunk: Buffer) => Promise<void>): Promise<void> {
  for await (const chunk of stream) await pass(chunk as Buffer);
}

function killLeftOver(dbt: DbtProcess): void {
  dbt.signal("SIGKILL");
}

const VERSION_REPORT = '"MainReportVersion"';

/** Looks for the one event that tells dbt's version and invocation, which is among the first; parses no other. */
function createEventReader() {
  let pending = "";
  let isLooking = true;
  let event: DbtEvent | null = null;
  let sawEvents = false;
  return {
    push(chunk: Buffer): void {
      sawEvents = true;
      if (!isLooking) return;
      const lines = `${pending}${chunk.toString("utf8")}`.split("\n");
      pending = lines.pop() ?? "";
      const line = lines.find((each) => each.includes(VERSION_REPORT));
      if (line === undefined) {
        isLooking = pending.length < 1_000_000;
        return;
      }
      isLooking = false;
      pending = "";
      event = parseEvent(line);
    },
    get dbtVersion() {
      const version = event?.data["version"];
      return typeof version === "string" ? version.replace(/^=/, "") : undefined;
    },
    get invocationId() {
      return event?.invocationId || undefined;
    },
    get sawEvents() {
      return sawEvents;
    },
  };
}
