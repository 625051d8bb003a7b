import assert from "node:assert/strict";
import { test } from "node:test";
import { update } from "../src/state/compare-and-set.ts";
import { outage } from "./gcp-outage.ts";
import { openGcpStates } from "./gcp-states.ts";
import { jobOutage } from "./job-outage.ts";

test("a job without State for some seconds loses no line, and nothing seems absent to it", async (context) => {
  await outage(context, 6_000);
});

test("a job goes on through some seconds without State, in which dbt ends", { timeout: 120_000 }, async (context) => {
  await jobOutage(context, 8_000);
});

test("writes whose answers are lost are counted once", async (context) => {
  const [one, other, witness] = (await openGcpStates(context, 3, 2)) ?? [];
  if (one === undefined || other === undefined || witness === undefined) return;
  const { records } = witness.state;
  await records.create("counters", "c", { count: 0 });
  let resets = 0;
  const timer = setInterval(() => {
    resets += 1;
    for (const proxy of [...one.proxies, ...other.proxies]) if (Math.random() < 0.5) proxy.reset();
  }, 120);
  const claimed: string[] = [];
  const work = async ({ state }: typeof one): Promise<void> => {
    for (let times = 0; times < 15; times += 1) {
      await update<{ count: number }>(state.records, "counters", "c", ({ count }) => ({ count: count + 1 }));
      const key = `k${times}`;
      if ((await state.records.create("claims", key, {})) !== undefined) claimed.push(key);
      await state.blobs.put(`${key}-${state === one.state}`, Buffer.from(key));
    }
  };
  await Promise.all([work(one), work(other)]);
  clearInterval(timer);
  assert.ok(resets > 0);
  assert.deepEqual((await records.get("counters", "c"))?.data, { count: 30 });
  assert.equal(claimed.length, 15);
  assert.equal((await witness.state.blobs.list("k")).length, 30);
});
