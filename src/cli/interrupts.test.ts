import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { AppError } from "../core/errors.ts";
import { watchInterrupts } from "./interrupts.ts";

function setUp() {
  const source = new EventEmitter();
  const interrupts = watchInterrupts(source);
  const reason = () => {
    const { reason } = interrupts.signal;
    return reason instanceof AppError ? `${reason.exitCode} ${reason.message} ${reason.hint ?? ""}` : undefined;
  };
  return { source, interrupts, reason };
}
const run = { id: "abc", number: 7 };

test("before a run exists, the first signal leaves", () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    const { source, reason } = setUp();
    source.emit(signal);
    assert.match(reason() ?? "", /^130 /);
  }
});

test("the first signal cancels, the second one leaves and says how to come back", () => {
  const { source, interrupts, reason } = setUp();
  let cancels = 0;
  interrupts.posting();
  interrupts.started(run, () => {
    cancels += 1;
  });
  source.emit("SIGTERM");
  assert.equal(cancels, 1);
  assert.equal(interrupts.signal.aborted, false);
  source.emit("SIGINT");
  assert.equal(cancels, 1);
  assert.match(reason() ?? "", /run 7 goes on\. dbt-remote attach abc/);
});

test("a signal while the run is being posted cancels it once it exists, or leaves once it does not", () => {
  const posted = setUp();
  let cancels = 0;
  posted.interrupts.posting();
  posted.source.emit("SIGINT");
  assert.equal(posted.interrupts.signal.aborted, false);
  posted.interrupts.started(run, () => {
    cancels += 1;
  });
  assert.equal(cancels, 1);
  const refused = setUp();
  refused.interrupts.posting();
  refused.source.emit("SIGINT");
  refused.interrupts.refused();
  assert.match(refused.reason() ?? "", /nothing was started/);
});

test("a hang-up leaves and never cancels; without a cancellation, the first signal leaves too", () => {
  const hung = setUp();
  hung.interrupts.started(run, () => assert.fail("cancelled"));
  hung.source.emit("SIGHUP");
  assert.match(hung.reason() ?? "", /terminal was closed; run 7 goes on/);
  const watching = setUp();
  watching.interrupts.started(run, undefined);
  watching.source.emit("SIGINT");
  assert.match(watching.reason() ?? "", /Left; run 7 goes on/);
});

test("stops listening", () => {
  const { source, interrupts } = setUp();
  interrupts.stop();
  assert.deepEqual(source.eventNames(), []);
});
