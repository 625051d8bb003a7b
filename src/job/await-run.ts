/**
 * A job that was launched ahead, while its run's project was still sent, waits until the run is there and has its turn. Its
 * launch's record says so: the mark goes when the job may begin, the record when nobody wants it any more.
 */
import { EXECUTIONS, type LaunchClaim, type LaunchedExecution, withdrawAhead } from "../state/executions.ts";
import type { RecordStore } from "../state/port.ts";
import type { StopSwitch } from "./stopping.ts";

export interface AwaitRunParams {
  readonly runId: string;
  readonly records: RecordStore;
  readonly stop: StopSwitch;
  /** From now on. */
  readonly waitMs: number;
  /** Told, for people, that it waits. */
  readonly say: (text: string) => void;
  /** In case a change was not told. */
  readonly askEveryMs: number;
}

export type Awaited =
  /** `hasWaited`: what was read of the run before is old. */
  { readonly kind: "begin"; readonly hasWaited: boolean } | { readonly kind: "give-up"; readonly why: string };

type LaunchRecord = LaunchClaim | LaunchedExecution;

/** At once where the launch is as any other, or not written down as yet. */
export async function awaitRun(params: AwaitRunParams): Promise<Awaited> {
  const { runId, records, stop, waitMs, askEveryMs, say } = params;
  const read = async () => (await records.get<LaunchRecord>(EXECUTIONS, runId))?.data;
  if ((await read())?.ahead === undefined) return { kind: "begin", hasWaited: false };
  say("waits for its run, whose project is still being sent");
  const bell = createBell();
  const unwatch = records.watch(EXECUTIONS, runId, bell.ring);
  const asking = setInterval(bell.ring, askEveryMs);
  let tooLate: string | undefined;
  const end = (why: string): void => {
    tooLate ??= why;
    bell.ring();
  };
  const limit = setTimeout(end, waitMs, `its run did not come within ${Math.round(waitMs / 1000)} s`);
  stop.onPressed(({ message }) => end(message));
  try {
    for (;;) {
      const record = await read();
      if (record === undefined) return { kind: "give-up", why: "its run was given up before it was there" };
      if (record.ahead === undefined) return { kind: "begin", hasWaited: true };
      // One that is let go in this moment is lost to it, and begins.
      if (tooLate !== undefined && (await withdrawAhead(records, runId, ["offered", "promised", "taken"]))) {
        return { kind: "give-up", why: tooLate };
      }
      if (tooLate === undefined) await bell.rung();
    }
  } finally {
    unwatch();
    clearInterval(asking);
    clearTimeout(limit);
  }
}

/** A ring that nobody waits for is heard by the next who does. */
function createBell() {
  let hasRung = false;
  let wake: (() => void) | undefined;
  return {
    ring(): void {
      hasRung = true;
      wake?.();
    },
    async rung(): Promise<void> {
      if (!hasRung) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      hasRung = false;
    },
  };
}
