import assert from "node:assert/strict";
import { test } from "node:test";
import type { Run } from "../../core/run.ts";
import type { LogChannel, LogPage, PlacedLogSegment } from "../../state/port.ts";
import { missingEnd, readOlderLines } from "./log-lines.ts";

const AT_MS = Date.parse("2026-01-31T08:00:00.750Z");
const AT = "2026-01-31T08:00:00Z";

/** A log of these pieces; `upTo` says how many bytes of it are there yet. */
function logOf(pieces: readonly (readonly [LogChannel, string])[]) {
  let offset = 0;
  const segments: PlacedLogSegment[] = pieces.map(([channel, text]) => {
    const bytes = Buffer.from(text);
    const placed = { channel, bytes, timeMs: AT_MS, offset };
    offset += bytes.length;
    return placed;
  });
  const log = {
    upTo: offset,
    size: offset,
    async read(_runId: string, _name: string, from: number, maxBytes: number): Promise<LogPage> {
      const end = Math.min(log.upTo, from + maxBytes);
      const found = segments.flatMap((segment) => {
        const [start, stop] = [Math.max(from, segment.offset), Math.min(end, segment.offset + segment.bytes.length)];
        if (start >= stop) return [];
        const bytes = segment.bytes.subarray(start - segment.offset, stop - segment.offset);
        return [{ ...segment, offset: start, bytes }];
      });
      return { segments: found, nextOffset: Math.max(from, end), seal: null };
    },
  };
  return log;
}

const running = { id: "r", status: "running" } as Run;
const ended = { id: "r", status: "success", logSize: 0, message: null } as Run;

test("time, level and text, with dbt's own time and empty lines left out", async () => {
  const log = logOf([
    [
      "out",
      "\u001b[0m08:00:00  Running with dbt=1.11.2\n\u001b[0m08:00:01  \n\n08:00:01  1 of 2 ERROR creating\tview\n",
    ],
    ["job", "warning: dbt_packages is old\n"],
    ["out", '08:00:02  [WARNING]: Deprecated\nDone. PASS=1 WARN=0 ERROR=0\n{"info": {"level": "debug", "msg": "x"}}\n'],
    ["err", "Traceback\r\n"],
    ["job", "END JOB\n"],
  ]);
  const { lines, nextOffset, isAll } = await readOlderLines(log, ended, 0);
  assert.deepEqual(lines, [
    `${AT}\tINFO\t[dbt] Running with dbt=1.11.2`,
    `${AT}\tERROR\t[dbt] 1 of 2 ERROR creating    view`,
    `${AT}\tWARN\t[job] warning: dbt_packages is old`,
    `${AT}\tWARN\t[dbt] [WARNING]: Deprecated`,
    `${AT}\tINFO\t[dbt] Done. PASS=1 WARN=0 ERROR=0`,
    `${AT}\tDEBUG\t{"info": {"level": "debug", "msg": "x"}}`,
    `${AT}\tERROR\t[dbt] Traceback`,
    `${AT}\tINFO\t[job] END JOB`,
  ]);
  assert.deepEqual([nextOffset, isAll], [log.size, true]);
});

test("however far the log has come at each look, every line comes once and whole", async () => {
  const log = logOf([
    ["out", "first\nsec"],
    ["err", "oops "],
    ["out", "ond é\nthi"],
    ["err", "again\n"],
    ["job", "a word\n"],
    ["out", "rd\n"],
    ["err", "last"],
  ]);
  const whole = (await readOlderLines(log, ended, 0)).lines;
  assert.equal(whole.length, 6);
  for (let step = 1; step < 12; step += 1) {
    const lines: string[] = [];
    let offset = 0;
    for (log.upTo = 0; log.upTo < log.size; log.upTo = Math.min(log.size, log.upTo + step)) {
      const page = await readOlderLines(log, running, offset);
      lines.push(...page.lines);
      offset = page.nextOffset;
    }
    lines.push(...(await readOlderLines(log, ended, offset)).lines);
    assert.deepEqual([...lines].sort(), [...whole].sort(), `step ${step}`);
  }
});

test("a line longer than an answer is given in pieces, and more than an answer is said", async () => {
  const size = 3 * 1024 * 1024;
  const log = logOf([["out", `${"x".repeat(size)}\n`]]);
  const first = await readOlderLines(log, ended, 0, 1024 * 1024);
  assert.deepEqual([first.isAll, first.lines.length], [false, 1]);
  let length = 0;
  for (let offset = 0, isAll = false; !isAll; ) {
    const page = await readOlderLines(log, ended, offset, 1024 * 1024);
    for (const line of page.lines) length += line.split("[dbt] ")[1]?.length ?? 0;
    ({ isAll, nextOffset: offset } = page);
  }
  assert.equal(length, size);
});

test("where the job could not end its log, the run's end is told", async () => {
  const log = logOf([["out", "begun\n"]]);
  const lost = { ...ended, status: "failed", reason: "lost", logSize: log.size, finishedAt: AT, message: null } as Run;
  assert.deepEqual(await missingEnd(log, lost), [
    `${AT}\tERROR\t[job] The run ended: lost.`,
    `${AT}\tINFO\t[job] END JOB`,
  ]);
  const whole = logOf([["job", "END JOB\n"]]);
  assert.deepEqual(await missingEnd(whole, { ...lost, logSize: whole.size }), []);
});
