/** What the tests of warm runs share: projects, and one warm parent for all tests of a file. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { copyProject, root } from "./folders.ts";
import { venv } from "./programs.ts";
import { environment, openWarm, type Warm } from "./warm.ts";

const missing = existsSync(join(venv, "bin", "dbt")) ? undefined : "no .venv with dbt; `npm run demo` makes it";
/** Why nothing can run warm here; false where it can. */
export const skip =
  process.platform === "linux"
    ? process.env["REQUIRE_ALL"] === "1"
      ? false
      : (missing ?? false)
    : "forks on Linux alone";

/** What the engine says of a warm run. */
export const WARM = /^dbt runs warm/;

/** Opens a parent before the tests of a file, and closes it after them. */
export function warmForAll(use: (warm: Warm) => void): void {
  let warm: Warm | undefined;
  before(() => {
    if (skip !== false) return;
    warm = openWarm();
    use(warm);
  });
  after(async () => {
    if (warm === undefined) return;
    await warm.close();
    assert.equal(existsSync(warm.parent.socketPath), false);
  });
}

/** Where dbt runs, and what it sees. */
export interface Project {
  readonly cwd: string;
  readonly env: Record<string, string>;
}

/** A copy of the smallest project. */
export function tiny(own: Readonly<Record<string, string>> = {}): Project {
  const env = environment({ DBT_PROFILES_DIR: join(root, "test/fixtures/projects/tiny-profiles"), ...own });
  return { cwd: copyProject("tiny"), env };
}

/** Writes a file of a project. */
export function write(project: Project, path: string, text: string): void {
  mkdirSync(join(project.cwd, path, ".."), { recursive: true });
  writeFileSync(join(project.cwd, path), text);
}
