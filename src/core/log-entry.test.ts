import assert from "node:assert/strict";
import { test } from "node:test";
import { type LogEntry, logLine, logsExplorerUrl, traceOfRun } from "./log-entry.ts";

const entry: LogEntry = {
  severity: "INFO",
  message: "hello",
  labels: { run_id: "r" },
  fields: { event: "MainReportVersion", seconds: 1.5 },
};
const MAX_BYTES = 256 * 1024;

test("an entry is one line with the names that Google knows", () => {
  const traceId = traceOfRun("0B9D6C0e-1111-4222-8333-444455556666");
  const line = logLine({ ...entry, time: "2026-01-02T03:04:05Z", traceId, projectId: "p", message: "two\nlines" });
  assert.equal(line.includes("\n"), false);
  assert.deepEqual(JSON.parse(line), {
    severity: "INFO",
    message: "two\nlines",
    time: "2026-01-02T03:04:05Z",
    event: "MainReportVersion",
    seconds: 1.5,
    "logging.googleapis.com/labels": { run_id: "r" },
    "logging.googleapis.com/trace": "projects/p/traces/0b9d6c0e111142228333444455556666",
  });
  assert.equal(Object.hasOwn(JSON.parse(logLine(entry)), "logging.googleapis.com/trace"), false);
});

test("an entry that Google would not take is shortened and says so, whatever its text is made of", () => {
  for (const piece of ["plain text ", "ü", "\u{1f600}", "\u0001", '"\\']) {
    const message = piece.repeat(Math.ceil(600_000 / piece.length));
    const line = logLine({ ...entry, message, labels: { node_id: "x".repeat(5_000) } });
    assert.ok(Buffer.byteLength(line) < MAX_BYTES, `${JSON.stringify(piece)}: ${Buffer.byteLength(line)} bytes`);
    assert.ok(Buffer.byteLength(line) > 100_000, JSON.stringify(piece));
    const told = JSON.parse(line).message as string;
    assert.ok(told.endsWith(`… [shortened: ${Buffer.byteLength(message)} bytes in all]`));
    assert.doesNotMatch(told, /[\ud800-\udbff](?![\udc00-\udfff])/);
  }
  const message = "x".repeat(200 * 1024);
  assert.equal(JSON.parse(logLine({ ...entry, message })).message, message);
});

test("a link leads to the entries of one run", () => {
  const url = new URL(logsExplorerUrl("my-project", "0b9d", "2026-01-02T03:04:05.000Z"));
  assert.equal(url.searchParams.get("project"), "my-project");
  const query = decodeURIComponent(url.pathname.replace("/logs/query;query=", ""));
  assert.equal(query, 'labels.run_id="0b9d"\ntimestamp>="2026-01-02T03:04:05.000Z"');
});
