import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { localDbt, tempFolder } from "../test/harness.ts";
import { generateProject, modelPath } from "./generate.ts";

test("a generated project builds", async () => {
  const dir = tempFolder("generated");
  generateProject({ dir, models: 25, withTests: true });
  const { stdout, code } = await localDbt(["build"], { cwd: dir });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /PASS=75 /);
});

test("it has as many models as asked for", () => {
  const dir = tempFolder("generated");
  generateProject({ dir, models: 1000 });
  const files = readdirSync(join(dir, "models"), { recursive: true, encoding: "utf8" });
  assert.equal(files.filter((file) => file.endsWith(".sql")).length, 1000);
  assert.equal(modelPath(999), join("models", "part009", "m000999.sql"));
});
