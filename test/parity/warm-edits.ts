/** After each of many random edits, what a warm dbt prints and writes is what a new process prints and writes. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../folders.ts";
import { coldEngine, environment, type Outcome, openWarm, run } from "../warm.ts";
import { comparable } from "./compare-artifacts.ts";
import { apply, type Edited, edits } from "./edits.ts";
import { maskText } from "./mask.ts";
import { nodesByName } from "./order.ts";

const HANDED_OVER = "dbt took the project's manifest from memory";
const PROFILES = `edited:
  target: dev
  outputs:
    dev: {type: duckdb, path: dev.duckdb, threads: 1}
    prod: {type: duckdb, path: prod.duckdb, schema: prod, threads: 1}
`;

/** Declares the test. `EDIT_SEED` repeats one that failed. */
export function warmEditsTest(count: number): void {
  const seed = Number(process.env["EDIT_SEED"] ?? Date.now() % 1_000_000);
  test(`${count} random edits, warm against cold`, {
    skip: process.platform === "linux" ? false : "forks on Linux alone",
  }, async (context) => {
    context.diagnostic(`EDIT_SEED=${seed}`);
    const warm = openWarm();
    context.after(() => warm.close());
    const profiles = tempFolder("profiles");
    writeFileSync(join(profiles, "profiles.yml"), PROFILES);
    const [warmIn, coldIn] = [tempFolder("warm"), tempFolder("cold")];
    const parseState = join(warmIn, "target", "partial_parse.msgpack");
    let before: Edited | undefined;
    let handedOver = 0;
    for (const now of edits(seed, count)) {
      apply(warmIn, before, now);
      apply(coldIn, before, now);
      const env = environment({ DBT_PROFILES_DIR: profiles, ...now.env });
      const invocation = (cwd: string) => ({ args: now.args, cwd, env });
      const [warmly, coldly] = await Promise.all([
        run(warm.engine, invocation(warmIn)),
        run(coldEngine, invocation(coldIn)),
      ]);
      const what = `EDIT_SEED=${seed}: dbt ${now.args.join(" ")} after: ${now.edit}`;
      assert.deepEqual(shown(warmly, warmIn), shown(coldly, coldIn), what);
      const [one, other] = [warmIn, coldIn].map((cwd) =>
        comparable(join(cwd, "target"), { root: cwd }, (text) => text),
      );
      assert.deepEqual(one?.files, other?.files, what);
      for (const path of other?.files ?? []) {
        assert.deepEqual(one?.contents[path], other?.contents[path], `${path}, ${what}`);
      }
      const notes = warm.news();
      assert.match(notes[0] ?? "", /^dbt runs warm/, what);
      // All but the first find what the last one left; dbt itself sees whether it fits.
      if (before === undefined) assert.equal(coldly.code, 0, coldly.stdout);
      else assert.deepEqual(notes.slice(1), [HANDED_OVER], what);
      handedOver += notes.length - 1;
      before = now;
      await warm.holding(({ holders }) =>
        holders.some((each) => each.parseState === parseState && each.isPrepared && each.isCurrent),
      );
    }
    assert.equal(handedOver, count);
  });
}

function shown({ stdout, stderr, code, signal }: Outcome, root: string) {
  const lines = (text: string) => nodesByName(maskText(text, { root }).split("\n"));
  return { stdout: lines(stdout), stderr: lines(stderr), code, signal };
}
