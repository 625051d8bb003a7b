import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { comparable } from "../../test/parity/compare-artifacts.ts";
import { maskText } from "../../test/parity/mask.ts";
import { coldEngine, type Outcome, openWarm, run, type Warm } from "../../test/warm.ts";
import { type Project, skip, tiny, WARM, warmForAll, write } from "../../test/warm-projects.ts";

const HANDED_OVER = "dbt took the project's manifest from memory";

let warm: Warm;
warmForAll((opened) => {
  warm = opened;
});

function readTarget(project: Project, file: string): Record<string, Record<string, unknown>> {
  return JSON.parse(readFileSync(join(project.cwd, "target", file), "utf8"));
}

/** Resolves when the project's manifest is in memory, as it is on disk. */
async function held(project: Project): Promise<void> {
  const parseState = join(project.cwd, "target", "partial_parse.msgpack");
  await warm.holding(({ holders }) =>
    holders.some((holder) => holder.parseState === parseState && holder.isReady && holder.isCurrent),
  );
}

function assertSame(warmly: Outcome, warmIn: Project, coldly: Outcome, coldIn: Project): void {
  const shown = (outcome: Outcome, { cwd }: Project) => ({
    stdout: maskText(outcome.stdout, { root: cwd }),
    stderr: maskText(outcome.stderr, { root: cwd }),
    exit: [outcome.code, outcome.signal],
  });
  assert.deepEqual(shown(warmly, warmIn), shown(coldly, coldIn));
  const target = ({ cwd }: Project) => comparable(join(cwd, "target"), { root: cwd }, (text) => text);
  assert.deepEqual(target(warmIn), target(coldIn));
  const kinds = ({ events }: Outcome) => events.split("\n").map((line) => /"name":\s*"(\w+)"/.exec(line)?.[1]);
  assert.deepEqual(kinds(warmly), kinds(coldly));
}

test("warm and new process print and write the same, first and with the manifest from memory", { skip }, async () => {
  const [warmly, coldly] = [tiny(), tiny()];
  const both = async (args: readonly string[]) => {
    const [one, other] = await Promise.all([
      run(warm.engine, { args, ...warmly }),
      run(coldEngine, { args, ...coldly }),
    ]);
    assertSame(one, warmly, other, coldly);
    return one;
  };
  const built = await both(["build"]);
  assert.equal(built.code, 0, built.stdout);
  const [first, ...rest] = warm.news();
  assert.match(first ?? "", WARM);
  assert.deepEqual(rest, []);
  const left = readdirSync(warmly.cwd).filter((name) => name.startsWith("tiny.duckdb"));
  assert.deepEqual(left, ["tiny.duckdb"], "the database is closed as a new process closes it");

  await held(warmly);
  await both(["run"]);
  assert.deepEqual(warm.news().slice(1), [HANDED_OVER]);

  for (const project of [warmly, coldly])
    write(project, "models/names.sql", "select id, name || '!' as name from {{ ref('people') }}");
  await both(["compile"]);
  assert.deepEqual(warm.news().slice(1), [HANDED_OVER]);
  const log = readFileSync(join(warmly.cwd, "logs", "dbt.log"), "utf8");
  assert.match(log, /Partial parsing enabled: 0 files deleted, 0 files added, 1 files changed/);
  assert.match(readFileSync(join(warmly.cwd, "target/compiled/tiny/models/names.sql"), "utf8"), /'!'/);
});

test("what runs no models is the same too", { skip }, async () => {
  const [warmly, coldly] = [tiny(), tiny()];
  for (const args of [["--version"], ["run", "--help"], ["run", "--bogus"], ["deps"], []]) {
    const [one, other] = await Promise.all([
      run(warm.engine, { args, ...warmly }),
      run(coldEngine, { args, ...coldly }),
    ]);
    assertSame(one, warmly, other, coldly);
  }
  assert.deepEqual(
    warm.news().filter((note) => !WARM.test(note)),
    [],
  );
});

test("two owners in alternation: environment, vars, targets, secrets and metadata stay with theirs", {
  skip,
}, async () => {
  const profiles = tempFolder("profiles");
  const output = (name: string) => `{type: duckdb, path: ${name}.duckdb, schema: "{{ env_var('SCHEMA') }}"}`;
  writeFileSync(
    join(profiles, "profiles.yml"),
    `tiny: {target: dev, outputs: {dev: ${output("dev")}, prod: ${output("prod")}}}`,
  );
  const owner = (name: string) => {
    const project = tiny({
      DBT_PROFILES_DIR: profiles,
      SCHEMA: `schema_of_${name}`,
      [`ONLY_${name}`]: "here",
      DBT_ENV_SECRET_WORD: `hidden-${name}`,
      DBT_ENV_CUSTOM_ENV_OWNER: name,
    });
    write(
      project,
      "models/who.sql",
      `select '{{ env_var("ONLY_${name}") }}' as a, '{{ env_var("ONLY_other", "none") }}' as b,
       '{{ var("word") }}' as c, '{{ target.name }} {{ target.schema }}' as d`,
    );
    write(project, "models/properties.yml", "models: [{name: who, description: \"{{ env_var('SCHEMA') }}\"}]");
    return { name, project };
  };
  const owners = [owner("ann"), owner("bob")];
  for (const [round, target] of ["dev", "prod", "prod"].entries()) {
    for (const { name, project } of owners) {
      const vars = `{word: ${name}-${round}}`;
      const outcome = await run(warm.engine, { args: ["compile", "--target", target, "--vars", vars], ...project });
      assert.equal(outcome.code, 0, outcome.stdout);
      const text = readFileSync(join(project.cwd, "target/compiled/tiny/models/who.sql"), "utf8");
      assert.equal(
        text.replace(/\s+/g, " "),
        `select 'here' as a, 'none' as b, '${name}-${round}' as c, '${target} schema_of_${name}' as d`,
      );
      const manifest = readTarget(project, "manifest.json");
      assert.deepEqual(manifest["metadata"]?.["env"], { OWNER: name });
      const said = outcome.stdout + JSON.stringify(manifest) + readFileSync(join(project.cwd, "logs/dbt.log"), "utf8");
      const foreign = name === "ann" ? "bob" : "ann";
      assert.ok(!said.includes(`schema_of_${foreign}`) && !said.includes("hidden-"), said);
    }
  }
  const last = await run(warm.engine, { args: ["compile", "-s", "who"], ...(owners[0]?.project ?? tiny()) });
  assert.match(last.stdout, /Required var 'word' not found/, "what one run was given is not there for the next");
  assert.ok(warm.news().includes(HANDED_OVER), "parse state was in memory for some of them");
});

test("a process that serves one run only does so in the same way", { skip }, async (context) => {
  const spare = openWarm({ forks: false });
  context.after(() => spare.close());
  const [warmly, coldly] = [tiny(), tiny()];
  const args = ["build"];
  const [one, other] = await Promise.all([
    run(spare.engine, { args, ...warmly }),
    run(coldEngine, { args, ...coldly }),
  ]);
  assertSame(one, warmly, other, coldly);
  assert.match(spare.news()[0] ?? "", WARM);
  await Promise.all([spare.parent.retired, spare.parent.ended]);
  rmSync(warmly.cwd, { recursive: true });
});
