import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { parseEvent, readEvents } from "./events.ts";

const info = {
  code: "Q025",
  level: "debug",
  name: "NodeFinished",
  ts: "2026-11-22T16:20:25Z",
  msg: "Finished running",
};
const node_info = {
  unique_id: "model.tiny.names",
  node_name: "names",
  resource_type: "model",
  materialized: "view",
  node_status: "success",
  node_started_at: "2026-11-22T16:20:25.197528",
  node_finished_at: "",
  node_relation: { relation_name: '"tiny"."main"."names"' },
};

test("a node's end has its node and result", () => {
  const run_result = { status: "success", message: "OK", execution_time: 0.07, num_failures: "12" };
  const event = parseEvent(JSON.stringify({ info, data: { node_info, run_result } }));
  assert.equal(event?.name, "NodeFinished");
  assert.deepEqual(event?.node, {
    uniqueId: "model.tiny.names",
    name: "names",
    resourceType: "model",
    materialized: "view",
    status: "success",
    startedAt: "2026-11-22T16:20:25.197528",
    finishedAt: null,
    relation: '"tiny"."main"."names"',
  });
  assert.deepEqual(event?.result, { status: "success", message: "OK", executionSeconds: 0.07, failures: 12 });
});

test("an event without node, result or position has none", () => {
  const event = parseEvent(JSON.stringify({ info: { ...info, name: "Formatting", level: "test" } }));
  assert.equal(event?.level, "debug");
  assert.deepEqual([event?.node, event?.result, event?.position], [undefined, undefined, undefined]);
});

test("no line makes it throw", () => {
  for (const line of ["", "{", "null", "[]", "1", '{"info":null}', '{"info":{"name":1}}']) {
    assert.equal(parseEvent(line), null);
  }
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (data, node) => {
      parseEvent(JSON.stringify({ info, data }));
      parseEvent(JSON.stringify({ info, data: { node_info: node, run_result: data } }));
    }),
  );
});

test("lines are found across chunks; a broken last line is told as it is", async () => {
  const line = JSON.stringify({ info: { ...info, msg: "größer" } });
  const bytes = Buffer.from(`${line}\n\n${line}\n{"info`);
  const chunks = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, at) => bytes.subarray(at * 7, at * 7 + 7));
  const found = [];
  for await (const { line: text, event } of readEvents(Readable.from(chunks, { objectMode: false }))) {
    found.push([text, event?.msg]);
  }
  assert.deepEqual(found, [
    [line, "größer"],
    [line, "größer"],
    ['{"info', undefined],
  ]);
});
