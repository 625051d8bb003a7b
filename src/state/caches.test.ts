import assert from "node:assert/strict";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { createCacheKeys } from "./cache-keys.ts";
import { gc } from "./gc.ts";
import { openLocalState } from "./local/open.ts";
import { createPackagePackStore } from "./package-packs.ts";
import { createParseStateStore } from "./parse-states.ts";
import type { State } from "./port.ts";
import { readAll } from "./read-all.ts";
import { DEFAULT_RETENTION } from "./retention.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

async function withState(body: (state: State) => Promise<void>): Promise<void> {
  const state = await openLocalState({ dataDir: tempFolder("data"), now: Date.now });
  try {
    await body(state);
  } finally {
    await state.close();
  }
}

const sweep = (state: State, afterMs: number, dryRun = false) =>
  gc(state, { now: () => Date.now() + afterMs, keep: DEFAULT_RETENTION, dryRun });

test("a workspace keeps some parse states, finds the best, and forgets those not used for long", async () => {
  await withState(async (state) => {
    const store = createParseStateStore(state, Date.now);
    const key = (main: string, environment = "e") => ({ main, environment });
    assert.equal(await store.find("w", key("m")), undefined);
    for (const number of [1, 2, 3, 4, 5]) await store.keep("w", key("m", `e${number}`), Buffer.from(`state ${number}`));
    await store.keep("w", key("m", "e5"), Buffer.from("state 5, newer"));
    assert.equal((await state.blobs.list("parse-states/")).length, 4);
    const found = async (main: string, environment: string, workspace = "w") =>
      (await store.find(workspace, key(main, environment)))?.toString();
    assert.equal(await found("m", "e3"), "state 3");
    assert.equal(await found("m", "another"), "state 5, newer");
    assert.equal(await found("m", "e1"), "state 5, newer");
    assert.equal(await found("other", "e3"), undefined);
    assert.equal(await found("m", "e3", "another-workspace"), undefined);

    assert.equal((await sweep(state, 20 * DAY_MS)).blobs.count, 0);
    const later = createParseStateStore(state, () => Date.now() + 20 * DAY_MS);
    assert.equal((await later.find("w", key("m", "e3")))?.toString(), "state 3");
    assert.equal((await sweep(state, 31 * DAY_MS, true)).blobs.count, 3);
    assert.equal((await sweep(state, 31 * DAY_MS)).blobs.count, 3);
    assert.equal(await found("m", "e5"), "state 3");
    assert.equal((await sweep(state, 90 * DAY_MS)).blobs.count, 1);
    assert.equal(await found("m", "e3"), undefined);
    assert.deepEqual(await state.records.list("parse-states"), []);
  });
});

test("packages are kept once for equal content, as long as they are used", async () => {
  await withState(async (state) => {
    const store = createPackagePackStore(state, Date.now);
    const set = { id: "v1-abc", links: [{ name: "nearby", target: "nearby" }] };
    await store.keep("one", set, Buffer.from("pack"));
    await store.keep("two", set, Buffer.from("pack"));
    assert.equal((await state.blobs.list("packages/")).length, 1);
    const found = await store.find("two");
    assert.deepEqual(found?.links, set.links);
    assert.equal(String(found && (await readAll(found.pack))), "pack");
    assert.equal(await store.find("three"), undefined);
    const later = createPackagePackStore(state, () => Date.now() + 20 * DAY_MS);
    const again = await later.find("two");
    again?.pack.destroy();
    assert.equal((await sweep(state, 31 * DAY_MS)).blobs.count, 0);
    assert.equal(await store.find("one"), undefined);
    assert.equal((await sweep(state, 90 * DAY_MS)).blobs.count, 1);
  });
});

test("keys are the State's own: equal for equal parts, and for nobody to guess", async () => {
  await withState(async (state) => {
    const [one, other] = [createCacheKeys(state.records), createCacheKeys(state.records)];
    const keys = await Promise.all([one("a", ["b"]), other("a", ["b"]), one("a", ["c"])]);
    assert.equal(keys[0], keys[1]);
    assert.notEqual(keys[0], keys[2]);
    await withState(async (another) => {
      assert.notEqual(await createCacheKeys(another.records)("a", ["b"]), keys[0]);
    });
  });
});
