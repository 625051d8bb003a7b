import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { openLocalState } from "../state/local/open.ts";
import { createParseStateStore } from "../state/parse-states.ts";
import { createParseCache } from "./parse-cache.ts";

const SECRET = "planted-secret-value";
const entry = (path: string, sha256: string) => ({ path, sha256, mode: "100644", size: 1 }) as const;

test("a parse state comes with the times of files that did not change; one with a secret is not kept", async () => {
  const state = await openLocalState({ dataDir: tempFolder("data"), now: Date.now });
  const store = createParseStateStore(state, Date.now);
  const opened = (entries: readonly ReturnType<typeof entry>[]) => {
    const tree = tempFolder("container");
    const targetDir = join(tree, "target");
    for (const { path } of entries) writeFileSync(join(tree, path), "x");
    const key = Promise.resolve({ main: "m", environment: "e" });
    const cache = createParseCache({ store, key, workspace: "w", secrets: [SECRET] });
    return {
      cache,
      place: { tree, targetDir, entries },
      file: join(targetDir, "partial_parse.msgpack"),
      tree,
      targetDir,
    };
  };
  try {
    const first = opened([entry("a.yml", "1"), entry("b.yml", "2"), entry("c.sql", "3")]);
    await first.cache.place(first.place);
    mkdirSync(first.targetDir);
    writeFileSync(first.file, `packed ${SECRET} packed`);
    await first.cache.keep(first.place);
    assert.deepEqual(await state.blobs.list("parse-states/"), []);
    for (const name of ["a.yml", "b.yml"]) utimesSync(join(first.tree, name), 1_700_000_000.123, 1_700_000_000.123);
    writeFileSync(first.file, "packed");
    await first.cache.keep(first.place);

    const second = opened([entry("a.yml", "1"), entry("b.yml", "changed")]);
    await second.cache.place(second.place);
    assert.equal(readFileSync(second.file, "utf8"), "packed");
    assert.equal(statSync(join(second.tree, "a.yml")).mtimeMs, statSync(join(first.tree, "a.yml")).mtimeMs);
    assert.ok(statSync(join(second.tree, "b.yml")).mtimeMs > 1_750_000_000_000);
    // dbt made no other: nothing is written.
    const before = await state.blobs.list("parse-states/");
    await second.cache.keep(second.place);
    assert.deepEqual(await state.blobs.list("parse-states/"), before);

    const third = opened([]);
    mkdirSync(third.targetDir);
    writeFileSync(third.file, "its own");
    await third.cache.place(third.place);
    assert.equal(readFileSync(third.file, "utf8"), "its own");
  } finally {
    await state.close();
  }
});
