import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { violations } from "../scripts/import-directions.mjs";
import { root, tempFolder } from "./folders.ts";

function planted(files: Record<string, string>): string[] {
  const folder = tempFolder("src");
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return violations(folder);
}

test("src/ keeps to the layout", () => {
  assert.deepEqual(violations(join(root, "src")), []);
});

test("a sibling's import is found, types and dynamic ones included", () => {
  const found = planted({
    "core/a.ts": 'import { x } from "../state/port.ts";\n',
    "config/a.ts": 'import type { x } from "../api/paths.ts";\n',
    "executors/a.ts": 'const job = await import("../job/main.ts");\n',
    "job/main.ts": 'import { x } from "../gcp/auth.ts";\n',
    "job/other.ts": 'import {\n  x,\n} from "../gcp/auth.ts";\nexport * from "../core/a.ts";\n',
    "stray.ts": "",
  });
  assert.deepEqual(
    found.map((line) => line.replace(/ \(.*| dynamic/, "")),
    [
      "config/a.ts: config must not import api",
      "core/a.ts: core must not import state",
      "executors/a.ts: executors must not import job",
      "job/other.ts: job must not import gcp",
      "stray.ts: lies in no folder of the layout",
    ],
  );
});

test("core stays pure, and the environment is read in main.ts only", () => {
  const found = planted({
    "core/a.ts": 'import { readFileSync } from "node:fs";\n',
    "cli/main.ts": "run(process.env);\n",
    "cli/other.ts": 'const home = process.env["HOME"];\n',
    "cli/third.ts": 'import { env } from "node:process";\n',
    "cli/fourth.ts": "// not process.env\n/* nor process.env */\n",
    "cli/fifth.test.ts": "process.env;\n",
  });
  assert.equal(found.length, 3, found.join("\n"));
});

test("what the CLI loads at its start is followed through its imports", () => {
  const found = planted({
    "cli/main.ts": 'import { call } from "../api/client.ts";\nimport type { T } from "typebox";\n',
    "api/client.ts": 'import "./schemas.ts";\nconst { x } = await import("./lazy.ts");\n',
    "api/schemas.ts": 'import { Type } from "typebox";\n',
    "api/lazy.ts": 'import fastify from "fastify";\n',
  });
  assert.deepEqual(found, ["api/schemas.ts: the CLI loads typebox at its start; import it where it is used"]);
});
