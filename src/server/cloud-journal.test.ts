import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonWriter, requestIdOf } from "./cloud-journal.ts";

const TRACE = "0b9d6c0e111142228333444455556666";

test("what the server says is a line of JSON each, with the request's id and trace, and without its token", () => {
  const lines: string[] = [];
  const writer = jsonWriter({ env: { PROJECT_ID: "p" }, secrets: ["a-token-of-the-server"] }, (line) =>
    lines.push(line),
  );
  writer.greet("dbt-server 1.0 on http://x\nData: /data");
  writer.say("dbt 1.11");
  writer.failure("Error: refused a-token-of-the-server\n    at x.ts:1", TRACE);
  writer.failure("again", "abc123");
  writer.run("Run 7 is to run dbt build", "0b9d", "abc123");
  assert.ok(lines.every((line) => line.endsWith("}\n") && line.indexOf("\n") === line.length - 1));
  const [greeting, said, failed, again, run] = lines.map((line) => JSON.parse(line));
  assert.deepEqual([greeting.severity, said.severity, failed.severity], ["NOTICE", "INFO", "ERROR"]);
  assert.equal(failed.message, "Error: refused *****\n    at x.ts:1");
  assert.equal(failed["logging.googleapis.com/labels"].request_id, TRACE);
  assert.equal(failed["logging.googleapis.com/trace"], `projects/p/traces/${TRACE}`);
  assert.equal(again.requestId, "abc123");
  assert.deepEqual(run["logging.googleapis.com/labels"], { source: "server", request_id: "abc123", run_id: "0b9d" });
  assert.equal(again["logging.googleapis.com/trace"], undefined);
});

test("a request has the id of its trace, where it has one", () => {
  assert.equal(requestIdOf({ "x-cloud-trace-context": `${TRACE.toUpperCase()}/123;o=1` }), TRACE);
  for (const odd of ["", "short/1", `${TRACE}x`, `${TRACE}\n`]) {
    assert.match(requestIdOf({ "x-cloud-trace-context": odd }), /^[a-z0-9]{4,8}$/);
  }
  assert.notEqual(requestIdOf({}), requestIdOf({}));
});
