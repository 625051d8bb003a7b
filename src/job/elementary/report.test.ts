import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { root, tempFolder } from "../../../test/folders.ts";
import { python, until } from "../../../test/programs.ts";
import type { AppError } from "../../core/errors.ts";
import type { Run } from "../../core/run.ts";
import { snapshotId } from "../../snapshot/entry.ts";
import { openLocalState } from "../../state/local/open.ts";
import type { State } from "../../state/port.ts";
import { readAll } from "../../state/read-all.ts";
import { createStores, type Stores } from "../../state/stores.ts";
import type { AfterDbt } from "../execute-run.ts";
import { createStopSwitch, stopOnSignal } from "../stopping.ts";
import { createElementaryReporter } from "./report.ts";

const INVOCATION = randomUUID();
const SECRET = "hunter2-of-elementary";
const PATH = [join(root, "test/fixtures/elementary"), dirname(python), process.env["PATH"]].join(":");

let state: State;
let stores: Stores;
let project: string;
before(async () => {
  state = await openLocalState({ dataDir: tempFolder("data"), now: Date.now });
  stores = createStores({ state, now: Date.now, snapshotId });
  project = tempFolder("project");
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    writeFileSync(join(project, path), text);
  };
  write("dbt_project.yml", "name: p\nprofile: p\n");
  write(
    "profiles/profiles.yml",
    "p: {target: dev, outputs: {dev: {type: duckdb, path: p.duckdb}, bare: {type: duckdb, path: bare.duckdb}}}",
  );
  const node = { package_name: "elementary", resource_type: "model", schema: "main_elementary", database: "p" };
  write("target/manifest.json", JSON.stringify({ nodes: { "model.elementary.dbt_invocations": node } }));
  write("target/run_results.json", JSON.stringify({ metadata: { invocation_id: INVOCATION } }));
  const make = `import duckdb; c = duckdb.connect("p.duckdb"); c.sql("create schema main_elementary"); c.sql("create table main_elementary.dbt_invocations as select '${INVOCATION}' as invocation_id"); duckdb.connect("bare.duckdb")`;
  execFileSync(python, ["-c", make], { cwd: project });
});
after(() => state.close());

interface Finished {
  readonly said?: string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly verb?: string;
  readonly invocationId?: string;
  readonly targetDir?: string;
  readonly stop?: ReturnType<typeof createStopSwitch>;
}

/** What the job would have said, and what it would have warned of. */
async function reported(given: Finished = {}) {
  const { env = {}, args = ["run"], verb = "run", stop = createStopSwitch(), said = [], ...more } = given;
  const id = randomUUID();
  const scratch = tempFolder("scratch");
  const finished: AfterDbt = {
    run: { id, verb, options: { elementary: true } } as Run,
    project,
    folders: { project, outside: join(project, "outside"), profiles: join(project, "profiles") },
    targetDir: more.targetDir ?? join(project, "target"),
    scratch,
    args,
    env: { PATH, DBT_TARGET_PATH: "elsewhere", DBT_ENV_SECRET_T: SECRET, ...env },
    secrets: [SECRET],
    invocationId: more.invocationId ?? INVOCATION,
    outcome: { status: "success", reason: null, message: null, exitCode: 0 },
    say: (text) => said.push(text),
  };
  const report = createElementaryReporter({ artifacts: stores.artifacts, python: undefined, stop });
  const problem = await report(finished).then(
    () => undefined,
    (error: AppError) => `${error.message} ${error.hint}`,
  );
  assert.deepEqual(readdirSync(scratch), [], "the profile is gone");
  const found = await stores.artifacts.list(id);
  const texts = await Promise.all(
    found.map(async ({ path }) => (await readAll((await stores.artifacts.open(id, path)).content)).toString()),
  );
  return { said, problem, files: new Map(found.map(({ path }, at) => [path, texts[at] ?? ""])) };
}

test("page and data are kept with the run, without a secret in them", async () => {
  const { said, problem, files } = await reported();
  assert.equal(problem, undefined);
  assert.deepEqual(said, ["making the Elementary report", "the Elementary report is target/elementary_report.html"]);
  const told = { invocation: { invocation_id: INVOCATION }, models: {}, said: "*****" };
  assert.deepEqual(JSON.parse(files.get("target/elementary_output.json") ?? ""), told);
  const encoded = /atob\('([^']+)'\)/.exec(files.get("target/elementary_report.html") ?? "")?.[1] ?? "";
  assert.deepEqual(JSON.parse(Buffer.from(encoded, "base64").toString()), told);
});

test("why there is none is one line with the cure", async () => {
  const cases: [Finished, RegExp][] = [
    [
      { env: { STAND_IN_EDR: "fail" } },
      /^No Elementary report: edr ended with exit code 1: \S+Error: something unheard of/,
    ],
    [
      { args: ["run", "--target", "bare"] },
      /tables are not in the warehouse\. .*dbt-remote run --select elementary\.$/,
    ],
    [{ args: ["run", "--target", "no"] }, /profile in use can't be told \(target not found\)\. .*--target/],
    [{ env: { PATH: "/nowhere" } }, /no edr beside dbt\. Install it there: pip install 'elementary-data\[duckdb\]'\.$/],
  ];
  for (const [each, pattern] of cases) {
    const { problem, files } = await reported(each);
    assert.match(problem ?? "", pattern);
    assert.ok(!(problem ?? "").includes("\n"), problem);
    assert.equal(files.size, 0);
  }
});

test("a report that does not tell of the run is kept, and that is said", async () => {
  const id = randomUUID();
  const targetDir = join(project, "other");
  mkdirSync(targetDir);
  writeFileSync(join(targetDir, "run_results.json"), JSON.stringify({ metadata: { invocation_id: id } }));
  const manifest = { nodes: { a: { package_name: "elementary", resource_type: "model", schema: "main_elementary" } } };
  writeFileSync(join(targetDir, "manifest.json"), JSON.stringify(manifest));
  const { problem, files } = await reported({ targetDir, invocationId: id });
  assert.match(problem ?? "", /does not tell of this run/);
  assert.deepEqual([...files.keys()], ["other/elementary_output.json", "other/elementary_report.html"]);
});

test("without results, after other commands, and when the run is stopped, there is none", {
  timeout: 60_000,
}, async () => {
  const without = await reported({ invocationId: randomUUID() });
  assert.deepEqual(without.said, ["No Elementary report: dbt ended before it had any results."]);
  const listed = await reported({ verb: "list" });
  assert.deepEqual([listed.said, listed.problem, listed.files.size], [[], undefined, 0]);
  const [stop, said] = [createStopSwitch(), [] as string[]];
  const hanging = reported({ env: { STAND_IN_EDR: "hang" }, stop, said });
  await until("edr to be at work", async () => said.includes("making the Elementary report"), 30_000);
  stopOnSignal(stop, "SIGTERM");
  assert.match((await hanging).problem ?? "", /the run was stopped while it was made/);
});
