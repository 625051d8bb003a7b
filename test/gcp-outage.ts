/** A run goes on while its job can reach neither Firestore nor Cloud Storage; shared by a short and a long test. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";
import { AppError } from "../src/core/errors.ts";
import { createJobLog } from "../src/job/job-log.ts";
import type { LogStore, State } from "../src/state/port.ts";
import { openGcpStates } from "./gcp-states.ts";
import { until } from "./programs.ts";

const LINE_EVERY_MS = 20;
const BEFORE_MS = 1_500;

/** Cuts a job off for `cutMs`; nothing of its log may be lost, and nothing that is there may seem absent. */
export async function outage(context: TestContext, cutMs: number): Promise<void> {
  const [job, server] = (await openGcpStates(context, 2, 1)) ?? [];
  if (job === undefined || server === undefined) return;
  const runId = randomUUID();
  await job.state.records.put("things", "known", { a: 1 });
  await job.state.blobs.put("known", Buffer.from("x"));
  let told = 0;
  const unwatch = job.state.records.watch("things", "signal", () => {
    told += 1;
  });
  const read = follow(server.state.logs, runId);

  const writer = await job.state.logs.openWriter(runId, "log");
  const failures: AppError[] = [];
  const log = createJobLog({ writer, secrets: [], now: Date.now, onFailure: (failure) => failures.push(failure) });
  let number = 0;
  let text = "";
  const timer = setInterval(() => {
    const line = `line ${number}\n`;
    number += 1;
    text += line;
    void log.write(number % 3 === 0 ? "err" : "out", Buffer.from(line));
  }, LINE_EVERY_MS);
  // Also where the test fails, which must not go on for ever.
  context.after(() => clearInterval(timer));
  await until("the first lines", () => read.text.includes("line 1\n"));
  await new Promise((resume) => setTimeout(resume, BEFORE_MS));

  for (const proxy of job.proxies) proxy.cut();
  const asked = ask(job.state);
  await new Promise((resume) => setTimeout(resume, cutMs));
  for (const proxy of job.proxies) proxy.restore();
  const restoredAtMs = performance.now();
  const before = number;
  await until("lines of after the outage", () => read.text.includes(`line ${before}\n`), 60_000);
  context.diagnostic(`lines came ${Math.round(performance.now() - restoredAtMs)} ms after the outage`);
  told = 0;
  await server.state.records.put("things", "signal", { a: 2 });
  await until("the watch", () => told > 0, 90_000);
  context.diagnostic(`a watch spoke ${Math.round(performance.now() - restoredAtMs)} ms after the outage`);
  await asked.stop();

  clearInterval(timer);
  const seal = await log.seal();
  unwatch();
  assert.deepEqual(failures, []);
  assert.equal(seal?.finalOffset, text.length);
  await until("the end", () => read.text.length === text.length);
  read.stop();
  assert.equal(read.text, text);
}

function follow(logs: LogStore, runId: string) {
  let offset = 0;
  let reading = Promise.resolve();
  const followed = { text: "", stop: (): void => undefined };
  const next = async (): Promise<void> => {
    const page = await logs.read(runId, "log", offset, 1_000_000);
    offset = page.nextOffset;
    followed.text += Buffer.concat(page.segments.map(({ bytes }) => bytes)).toString();
  };
  followed.stop = logs.watch(runId, "log", () => {
    reading = reading.then(next);
  });
  return followed;
}

/** Asks for what is there, again and again: every answer is the truth or a failure. */
function ask(state: State) {
  let isOver = false;
  const asking = (async () => {
    while (!isOver) {
      const [record, blob, names] = await Promise.all([
        orFailure(state.records.get("things", "known")),
        orFailure(state.blobs.stat("known")),
        orFailure(state.blobs.list("kno")),
      ]);
      for (const [what, isAbsent] of Object.entries({
        record: !record.isFailure && record.answer === undefined,
        blob: !blob.isFailure && blob.answer === undefined,
        names: !names.isFailure && names.answer?.length !== 1,
      })) {
        assert.ok(!isAbsent, `${what} seems absent`);
      }
      await new Promise((resume) => setTimeout(resume, 100));
    }
  })();
  // Reported when it is stopped.
  asking.catch(() => undefined);
  return {
    async stop() {
      isOver = true;
      await asking;
    },
  };
}

async function orFailure<T>(asked: Promise<T>): Promise<{ isFailure: boolean; answer: T | undefined }> {
  try {
    return { isFailure: false, answer: await asked };
  } catch (error) {
    assert.ok(error instanceof AppError && error.code === "state_unavailable", String(error));
    return { isFailure: true, answer: undefined };
  }
}
