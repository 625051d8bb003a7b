import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { rehearse } from "./rehearse.ts";

test("a rehearsed run succeeds and leaves nothing; without a place for it, nothing is rehearsed", async (context) => {
  const before = process.env["TMPDIR"];
  context.after(() => {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  });
  const folder = tempFolder("temporary");
  process.env["TMPDIR"] = folder;
  assert.equal(await rehearse(), true);
  assert.deepEqual(readdirSync(folder), []);

  process.env["TMPDIR"] = join(folder, "missing");
  assert.equal(await rehearse(), false);
  assert.equal(existsSync(join(folder, "missing")), false);
});
