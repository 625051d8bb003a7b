import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sseParser } from "./sse.ts";

test("events come out the same wherever the stream is cut", () => {
  const text = `: ping\n\nid: 5\nevent: log\ndata: {"a":"é€😀"}\n\nevent: end\r\ndata: 1\r\ndata: 2\r\n\r\nretry: 3\nid\ndata:x\n\ndata: unfinished`;
  const whole = [
    { event: "log", data: '{"a":"é€😀"}', id: "5" },
    { event: "end", data: "1\n2", id: "5" },
    { event: "message", data: "x", id: "" },
  ];
  const bytes = Buffer.from(text);
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (cuts) => {
      const parse = sseParser();
      const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const found = edges.slice(1).flatMap((end, at) => parse(bytes.subarray(edges[at], end)));
      assert.deepEqual(found, whole);
    }),
  );
});
