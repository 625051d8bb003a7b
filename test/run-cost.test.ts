import assert from "node:assert/strict";
import { test } from "node:test";
import { emulatorsMissing } from "./emulators.ts";
import { requirePart } from "./require.ts";
import { measureRunCost } from "./run-cost.ts";

/** For each of documents and objects: so many, so many a second, and so many more while somebody follows. */
const BUDGET = { once: 60, eachSecond: 0.5, whileFollowed: 2 };

test("a run stays within its budget, followed or not", { timeout: 180_000 }, async (context) => {
  const reason = emulatorsMissing();
  if (!requirePart(context, "Google's emulators", reason === undefined, reason ?? "")) return;
  const params = { lines: 400, forMs: 12_000 };
  const costs = await Promise.all([
    measureRunCost({ ...params, isFollowed: false }),
    measureRunCost({ ...params, isFollowed: true }),
  ]);
  for (const cost of costs) {
    const { seconds, counts, isFollowed, busiest } = cost;
    context.diagnostic(JSON.stringify(cost));
    const budget = BUDGET.once + (BUDGET.eachSecond + (isFollowed ? BUDGET.whileFollowed : 0)) * seconds;
    const title = isFollowed ? "followed" : "alone";
    assert.ok(counts.documentWrites <= budget, `${title}: ${counts.documentWrites} documents of ${budget}`);
    assert.ok(counts.objectWrites <= budget, `${title}: ${counts.objectWrites} objects of ${budget}`);
    assert.ok(cost.logBytes > 30_000, `${cost.logBytes} bytes of log`);
    assert.ok(cost.logBytesWritten <= 1.2 * cost.logBytes, `${title}: ${cost.logBytesWritten} for ${cost.logBytes}`);
    assert.ok(cost.eventBytesWritten <= 1.2 * cost.eventBytes);
    assert.ok(cost.logObjects <= 50);
    assert.ok(busiest.writes <= 10, `${title}: ${busiest.name} was written ${busiest.writes} times in 10 s`);
  }
});
