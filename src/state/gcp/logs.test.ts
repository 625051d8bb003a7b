import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { openGcpStates } from "../../../test/gcp-states.ts";
import type { LogStore } from "../port.ts";
import { inParallel } from "./in-parallel.ts";
import { compactLog } from "./log-compaction.ts";
import { encodeFrame } from "./log-frames.ts";
import { listPieces, logFolder, type Piece, pieceMetadata, pieceName } from "./log-pieces.ts";

const line = (number: number): Buffer => Buffer.from(`${number} ${"x".repeat(60 + (number % 50))}\n`);
const text = (bytes: Uint8Array) => [{ channel: "out", timeMs: Date.now(), bytes }] as const;

async function whole(logs: LogStore, runId: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let offset = 0; ; ) {
    const page = await logs.read(runId, "log", offset, 100_000);
    parts.push(...page.segments.map(({ bytes }) => bytes));
    if (page.nextOffset === offset) return Buffer.concat(parts);
    offset = page.nextOffset;
  }
}

test("a log that has ended is in at most 50 objects, each byte written at most twice, and reads on for all", async (context) => {
  const [writing, reading] = (await openGcpStates(context, 2)) ?? [];
  if (writing === undefined || reading === undefined) return;
  const runId = randomUUID();
  const folder = logFolder(runId, "log");
  const writer = await writing.state.logs.openWriter(runId, "log");
  const lines = Array.from({ length: 180 }, (_, number) => line(number));
  const bytes = Buffer.concat(lines);
  for (const each of lines.slice(0, 120)) await writer.append(text(each));
  // A reader that has seen some of the objects that are joined afterwards.
  const early = await reading.state.logs.read(runId, "log", 0, 1000);
  for (const each of lines.slice(120)) await writer.append(text(each));
  const seal = await writer.seal();
  assert.equal(seal.finalOffset, bytes.length);
  assert.ok((await listPieces(writing.storage, folder)).length <= 50);
  const objects = await writing.storage.list({ prefix: folder });
  assert.ok(objects.length <= 50, `${objects.length} objects`);
  const { objectBytes } = writing.use.counts((name) => name.startsWith(folder));
  assert.ok(objectBytes <= 2.2 * bytes.length, `${objectBytes} bytes for ${bytes.length}`);
  assert.ok((await whole(reading.state.logs, runId)).equals(bytes));
  const late = await reading.state.logs.read(runId, "log", early.nextOffset, 1_000_000);
  assert.ok(Buffer.concat(late.segments.map((each) => each.bytes)).equals(bytes.subarray(early.nextOffset)));
});

test("the log of a very long run is joined too, without writing its bytes a third time", async (context) => {
  const [opened] = (await openGcpStates(context, 1)) ?? [];
  if (opened === undefined) return;
  const { storage, state, use } = opened;
  const runId = randomUUID();
  const folder = logFolder(runId, "log");
  const pieces: (Piece & { readonly frame: Buffer })[] = [];
  for (let number = 0, start = 0; number < 100; number += 1) {
    const frame = encodeFrame(text(line(number)));
    if (frame === undefined) continue;
    const end = start + frame.length;
    pieces.push({ name: pieceName(folder, start), start, end, bytes: frame.bytes.length, frame: frame.bytes });
    start = end;
  }
  await inParallel(pieces, 16, ({ name, frame, end }) => storage.put(name, frame, { metadata: pieceMetadata(end) }));
  const written = use.counts().objectBytes;
  // As with more than 1,600 objects: 34 become one.
  await compactLog(storage, folder, pieces, 3);
  assert.equal(use.counts().objectBytes, 2 * written);
  assert.equal((await storage.list({ prefix: folder })).length, 3);
  const offset = pieces.at(-1)?.end ?? 0;
  await state.records.put("log-heads", `${runId}.log`, { offset, seal: { finalOffset: offset, sha256: "" } });
  assert.ok((await whole(state.logs, runId)).equals(Buffer.concat(pieces.map((_, number) => line(number)))));
});

test("a writer whose object another wrote goes no further", async (context) => {
  const [one, other] = (await openGcpStates(context, 2)) ?? [];
  if (one === undefined || other === undefined) return;
  const runId = randomUUID();
  const first = await one.state.logs.openWriter(runId, "log");
  const second = await other.state.logs.openWriter(runId, "log");
  await first.append(text(line(1)));
  await assert.rejects(second.append(text(line(2))), /Another writer goes on with the log/);
  assert.equal(second.offset, 0);
  await first.close();
  await second.close();
  assert.ok((await whole(one.state.logs, runId)).equals(line(1)));
});

/** Appends a line every 50 ms as the job does: what comes until the next append is due goes together. */
async function chat(logs: LogStore, runId: string, forMs: number): Promise<{ bytes: number; writtenAtMs: number[] }> {
  const writer = await logs.openWriter(runId, "log");
  const writtenAtMs: number[] = [];
  let waiting: Buffer[] = [];
  let number = 0;
  const timer = setInterval(() => {
    waiting.push(line(number));
    number += 1;
    writtenAtMs.push(Date.now());
  }, 50);
  const endAtMs = performance.now() + forMs;
  while (performance.now() < endAtMs) {
    await new Promise((resume) => setTimeout(resume, 15));
    if (waiting.length === 0) continue;
    const batch = Buffer.concat(waiting);
    waiting = [];
    await writer.append(text(batch));
    await Promise.race([
      writer.due(),
      new Promise((resume) => setTimeout(resume, Math.max(1, endAtMs - performance.now()))),
    ]);
  }
  clearInterval(timer);
  if (waiting.length > 0) await writer.append(text(Buffer.concat(waiting)));
  const { finalOffset } = await writer.seal();
  return { bytes: finalOffset, writtenAtMs };
}

test("what a log costs while somebody follows, and while nobody does; and how soon its lines are there", async (context) => {
  const [followed, reader, alone] = (await openGcpStates(context, 3)) ?? [];
  if (followed === undefined || reader === undefined || alone === undefined) return;
  const RUN_MS = 13_000;
  const [one, other] = [randomUUID(), randomUUID()];
  const arrivedAtMs: number[] = [];
  let offset = 0;
  let rest = "";
  let reading = Promise.resolve();
  const stop = reader.state.logs.watch(one, "log", () => {
    reading = reading.then(async () => {
      const page = await reader.state.logs.read(one, "log", offset, 100_000);
      offset = page.nextOffset;
      const lines = (rest + Buffer.concat(page.segments.map(({ bytes }) => bytes)).toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const _ of lines) arrivedAtMs.push(Date.now());
    });
  });
  const [chatted, quiet] = await Promise.all([
    chat(followed.state.logs, one, RUN_MS),
    chat(alone.state.logs, other, RUN_MS),
  ]);
  await new Promise((resume) => setTimeout(resume, 500));
  await reading;
  stop();

  const seconds = RUN_MS / 1000;
  const withFollower = followed.use.counts();
  assert.ok(withFollower.objectWrites <= seconds + 2, `${withFollower.objectWrites} objects`);
  assert.ok(withFollower.documentWrites <= seconds + 2, `${withFollower.documentWrites} documents`);
  assert.ok(withFollower.objectBytes <= 1.2 * chatted.bytes, `${withFollower.objectBytes} for ${chatted.bytes}`);
  const withoutFollower = alone.use.counts();
  assert.ok(withoutFollower.objectWrites <= 0.25 * seconds + 2, `${withoutFollower.objectWrites} objects`);
  assert.ok(withoutFollower.documentWrites <= 3, `${withoutFollower.documentWrites} documents`);
  assert.ok(withoutFollower.objectBytes <= 1.2 * quiet.bytes);
  for (const { use } of [followed, alone, reader]) {
    const busiest = use.busiest(10_000);
    assert.ok(busiest.writes <= 10, `${busiest.name} was written ${busiest.writes} times in 10 s`);
  }

  assert.equal(arrivedAtMs.length, chatted.writtenAtMs.length);
  const latencies = arrivedAtMs.map((atMs, number) => atMs - (chatted.writtenAtMs[number] ?? 0)).sort((a, b) => a - b);
  const median = latencies[latencies.length >>> 1] ?? Number.POSITIVE_INFINITY;
  assert.ok(median <= 1_000, `half of the lines took longer than ${median} ms`);
  context.diagnostic(`median latency ${median} ms; ${JSON.stringify({ withFollower, withoutFollower })}`);
  const idle = reader.use.counts();
  assert.ok(idle.documentWrites <= 1 && idle.objectLists <= 1, JSON.stringify(idle));
});
