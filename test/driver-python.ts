/** Tries parts of the driver by a few lines of Python. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./folders.ts";
import { python } from "./programs.ts";

export const skip = existsSync(python) ? false : "no .venv with dbt; `npm run demo` makes it";

/** Runs it where the driver's modules can be imported; it is fine when it ends well. */
export function runPython(code: string): void {
  const done = spawnSync(python, ["-B", "-c", code], {
    encoding: "utf8",
    timeout: 60_000,
    env: { PATH: process.env["PATH"], PYTHONPATH: join(root, "src/dbt/driver") },
  });
  assert.equal(done.status, 0, done.stderr || String(done.error));
}
