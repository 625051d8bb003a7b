import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { AppError } from "../../core/errors.ts";
import type { LogChannel } from "../port.ts";
import { INDEX_RECORD_BYTES, logPaths } from "./log-files.ts";
import { readPage } from "./log-reader.ts";
import { openLogWriter } from "./log-writer.ts";
import { createLogs } from "./logs.ts";
import { createStager } from "./stager.ts";

const root = mkdtempSync(join(tmpdir(), "logs-"));
after(() => rmSync(root, { recursive: true, force: true }));
const stager = createStager(join(root, "staged"), Date.now);
let runs = 0;
function newPaths() {
  runs += 1;
  return logPaths(join(root, "logs"), `run-${runs}`, "log");
}
const part = (text: string, channel: LogChannel = "out") => ({ channel, timeMs: 1, bytes: Buffer.from(text) });
const textOf = (paths: ReturnType<typeof newPaths>, offset = 0): string =>
  Buffer.concat(readPage(paths, offset, 1_000_000).segments.map(({ bytes }) => bytes)).toString();

test("what a killed writer left behind the last whole record is cut off, unseen", async () => {
  for (const [data, index] of [
    [7, 0],
    [7, 5],
    [7, INDEX_RECORD_BYTES - 1],
  ] as const) {
    const paths = newPaths();
    const writer = openLogWriter(paths, stager);
    await writer.append([part("one\n"), part("two\n", "err")]);
    await writer.close();
    appendFileSync(paths.data, "x".repeat(data));
    appendFileSync(paths.index, Buffer.alloc(index, 1));
    assert.equal(textOf(paths), "one\ntwo\n");
    const next = openLogWriter(paths, stager);
    assert.equal(next.offset, 8);
    await next.append([part("three\n")]);
    assert.equal(textOf(paths), "one\ntwo\nthree\n");
    const seal = await next.seal();
    assert.equal(seal.finalOffset, 14);
    assert.equal(readFileSync(paths.data, "utf8"), "one\ntwo\nthree\n");
  }
});

test("after a power cut the log ends with the last record whose data is there", async () => {
  const paths = newPaths();
  const writer = openLogWriter(paths, stager);
  for (const line of ["one\n", "two\n", "three\n"]) await writer.append([part(line)]);
  await writer.close();
  truncateSync(paths.data, 10);
  const next = openLogWriter(paths, stager);
  assert.equal(next.offset, 8);
  assert.equal(statSync(paths.index).size, 2 * INDEX_RECORD_BYTES);
  await next.append([part("3\n")]);
  assert.equal(textOf(paths), "one\ntwo\n3\n");
  await next.close();
});

test("a damaged index is told, not read", async () => {
  const paths = newPaths();
  const writer = openLogWriter(paths, stager);
  await writer.append([part("one\n")]);
  await writer.append([part("two\n")]);
  await writer.close();
  const index = readFileSync(paths.index);
  index[3] = 77;
  writeFileSync(paths.index, index);
  assert.throws(
    () => readPage(paths, 0, 100),
    (error: unknown) => error instanceof AppError && error.code === "state_corrupt" && error.hint !== undefined,
  );
});

test("nothing is added behind a seal, not even by a writer that is still open", async () => {
  const paths = newPaths();
  const stale = openLogWriter(paths, stager);
  await stale.append([part("one\n")]);
  await openLogWriter(paths, stager).seal();
  await assert.rejects(stale.append([part("two\n")]), /ended/);
  await stale.close();
  assert.equal(textOf(paths), "one\n");
});

test("any offset of any log reads the rest, across blocks of the index", async () => {
  const batches = fc.array(fc.array(fc.tuple(fc.constantFrom("out", "err", "job"), fc.string({ maxLength: 5 }))), {
    minLength: 1,
    maxLength: 400,
  });
  await fc.assert(
    fc.asyncProperty(batches, fc.nat(), fc.integer({ min: 1, max: 3000 }), async (parts, seed, maxBytes) => {
      const paths = newPaths();
      const writer = openLogWriter(paths, stager);
      for (const batch of parts) await writer.append(batch.map(([channel, text]) => part(text, channel)));
      await writer.close();
      const whole = Buffer.from(
        parts
          .flat()
          .map(([, text]) => text)
          .join(""),
      );
      const offset = seed % (whole.length + 1);
      const chunks: Buffer[] = [];
      for (let at = offset; at < whole.length; ) {
        const page = readPage(paths, at, maxBytes);
        assert.ok(page.nextOffset > at && page.nextOffset - at <= maxBytes);
        for (const { bytes } of page.segments) chunks.push(Buffer.from(bytes));
        at = page.nextOffset;
      }
      assert.deepEqual(Buffer.concat(chunks), whole.subarray(offset));
      rmSync(paths.folder, { recursive: true, force: true });
    }),
    { numRuns: 40 },
  );
});

test("a thousand watchers of a run hold one watch of the system", async () => {
  const logs = createLogs(join(root, "many"), stager);
  const writer = await logs.openWriter("r", "log");
  await writer.append([part("one\n")]);
  let calls = 0;
  const stops = Array.from({ length: 1000 }, () =>
    logs.watch("r", "log", () => {
      calls += 1;
    }),
  );
  const watches = process.getActiveResourcesInfo().filter((name) => name === "FSEventWrap");
  assert.ok(watches.length <= 1, `${watches.length} watches`);
  await writer.append([part("two\n")]);
  const deadline = Date.now() + 5000;
  while (calls < 1000 && Date.now() < deadline) await new Promise((resume) => setTimeout(resume, 5));
  assert.equal(calls, 1000);
  for (const stop of stops) stop();
  await writer.close();
});
