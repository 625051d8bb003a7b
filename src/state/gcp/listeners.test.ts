import assert from "node:assert/strict";
import { test } from "node:test";
import { createListeners } from "./listeners.ts";

interface Started {
  readonly onValue: (value: string) => void;
  readonly onError: (error: unknown) => void;
  isStopped: boolean;
}

/** Listeners whose streams do what the test says. */
function scene() {
  const started: Started[] = [];
  const heard: string[] = [];
  const listeners = createListeners<string>((_key, onValue, onError) => {
    const one: Started = { onValue, onError, isStopped: false };
    started.push(one);
    return () => {
      one.isStopped = true;
    };
  });
  const stop = listeners.listen("k", (value) => heard.push(value));
  return { started, heard, stop };
}

test("a listener that never says what is there is begun anew; one that spoke may be silent for ever", ({ mock }) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { started, heard, stop } = scene();
  mock.timers.tick(2_999);
  assert.equal(started.length, 1);
  mock.timers.tick(1);
  assert.deepEqual(
    started.map(({ isStopped }) => isStopped),
    [true, false],
  );
  started[1]?.onValue("there");
  mock.timers.tick(3_600_000);
  assert.equal(started.length, 2);
  assert.deepEqual(heard, ["there"]);
  stop();
  assert.equal(started[1]?.isStopped, true);
});

test("one that failed is begun anew, after longer pauses each time; one that was stopped is not", ({ mock }) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { started, stop } = scene();
  started[0]?.onError(new Error("refused"));
  mock.timers.tick(250);
  assert.equal(started.length, 2);
  started[1]?.onError(new Error("refused"));
  mock.timers.tick(499);
  assert.equal(started.length, 2);
  mock.timers.tick(1);
  assert.equal(started.length, 3);
  stop();
  mock.timers.tick(3_600_000);
  assert.equal(started.length, 3);
});
