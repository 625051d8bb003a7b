import assert from "node:assert/strict";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { openLocalState } from "./local/open.ts";
import { takeTurn } from "./turns.ts";

test("of many who ask, one has the turn, once in each period", async (context) => {
  const { records, close } = await openLocalState({ dataDir: tempFolder("data"), now: Date.now });
  context.after(close);
  let nowMs = 1_000;
  const ask = () => Promise.all(Array.from({ length: 5 }, () => takeTurn(records, "gc", 60_000, () => nowMs)));
  const winners = async () => (await ask()).filter(Boolean).length;
  assert.equal(await winners(), 1);
  nowMs += 59_000;
  assert.equal(await winners(), 0);
  nowMs += 1_000;
  assert.equal(await winners(), 1);
});
