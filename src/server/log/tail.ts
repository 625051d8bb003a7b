/** The followers of one stream. Those at the same offset get the same page, read once, and the same frame, made once. */
import { isTerminal, type Run } from "../../core/run.ts";
import type { LogName } from "../../state/port.ts";
import { inTurns } from "../turns.ts";
import type { Follower } from "./follower.ts";
import { chunkOf, endOf, frameOf } from "./frames.ts";
import type { LogHubOptions } from "./hub.ts";

export interface TailParams extends Pick<LogHubOptions, "logs" | "runs" | "onError"> {
  readonly run: Run;
  readonly name: LogName;
  readonly onEmpty: () => void;
}

export interface Tail {
  readonly run: Run;
  add(follower: Follower): void;
  remove(follower: Follower): void;
  /** A follower's socket takes bytes again. */
  wake(follower: Follower): void;
}

/** One page is in memory at a time, whoever follows; a socket holds at most one frame more than it takes. */
const PAGE_BYTES = 128 * 1024;

export function createTail(params: TailParams): Tail {
  const { logs, runs, name } = params;
  const followers = new Set<Follower>();
  let run = params.run;
  let view: { readonly text: string; readonly frame: Buffer } | undefined;
  let runChanged = true;
  let logChanged = false;
  const pump = inTurns(() => serveAll().catch(dropAll));

  const unsubscribe = [
    logs.watch(run.id, name, () => {
      logChanged = true;
      void pump();
    }),
    runs.watch(run.id, () => {
      runChanged = true;
      void pump();
    }),
  ];

  async function serveAll(): Promise<void> {
    if (followers.size === 0) return;
    if (runChanged) await refreshRun();
    if (logChanged) {
      logChanged = false;
      for (const follower of followers) follower.isIdle = false;
    }
    sendViews();
    for (let group = nextGroup(); group.length > 0; group = nextGroup()) {
      await serve(group);
      sendViews();
    }
  }

  /** They resume at their offset, and meet the error as an answer if it stays. */
  function dropAll(error: unknown): void {
    params.onError(error);
    for (const follower of [...followers]) follower.drop();
  }

  async function refreshRun(): Promise<void> {
    runChanged = false;
    const found = await runs.get(run.id);
    if (found === undefined) {
      // Removed by retention: nothing more will come.
      for (const follower of [...followers]) follower.drop();
      return;
    }
    run = found;
    const data = await runs.view(run);
    const text = JSON.stringify(data);
    if (text !== view?.text) view = { text, frame: frameOf("run", data) };
    // The end depends on the run, so even those who have every byte are looked at again.
    for (const follower of followers) follower.isIdle = false;
  }

  function sendViews(): void {
    if (view === undefined) return;
    for (const follower of followers) {
      if (!follower.takesBytes || follower.sentView === view.text) continue;
      follower.sentView = view.text;
      follower.send(view.frame);
    }
  }

  /** Those who can be served together next. */
  function nextGroup(): Follower[] {
    let offset: number | undefined;
    const group: Follower[] = [];
    for (const follower of followers) {
      if (!follower.takesBytes || follower.isIdle) continue;
      offset ??= follower.offset;
      if (follower.offset === offset) group.push(follower);
    }
    return group;
  }

  async function serve(group: readonly Follower[]): Promise<void> {
    const offset = group[0]?.offset ?? 0;
    const runBefore = run;
    const page = await logs.read(run.id, name, offset, PAGE_BYTES);
    const frame = page.segments.length === 0 ? undefined : frameOf("log", chunkOf(offset, page), page.nextOffset);
    const end = endOf(runBefore, name, page);
    // A page far from full was the last one for now: the next change is told by the watch.
    const size = page.nextOffset - offset;
    const isLast = size === 0 || (size < PAGE_BYTES / 2 && page.segments.length < 500 && !isTerminal(runBefore.status));
    const endFrame = end === undefined ? undefined : frameOf("end", end);
    // Its offset is one of the log.
    const dbtFinished = name === "log" ? runBefore.dbtFinished : null;
    const finishedFrame = dbtFinished === null ? undefined : frameOf("dbt-finished", dbtFinished);
    for (const follower of group) {
      if (frame !== undefined) {
        follower.send(frame);
        follower.offset = page.nextOffset;
      }
      follower.isIdle = isLast;
      const hasDbtsBytes = dbtFinished !== null && follower.offset >= dbtFinished.dbtOffset;
      if (finishedFrame !== undefined && (hasDbtsBytes || end !== undefined) && !follower.sentDbtFinished) {
        follower.sentDbtFinished = true;
        follower.send(finishedFrame);
      }
      if (endFrame !== undefined) follower.end(endFrame);
    }
  }

  return {
    get run() {
      return run;
    },
    add(follower) {
      followers.add(follower);
      void pump();
    },
    remove(follower) {
      followers.delete(follower);
      if (followers.size > 0) return;
      for (const stop of unsubscribe.splice(0)) stop();
      params.onEmpty();
    },
    wake(follower) {
      follower.isIdle = false;
      void pump();
    },
  };
}
