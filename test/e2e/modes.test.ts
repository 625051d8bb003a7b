import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { cli, copyProject, KEPT_WARM, root, startServer, type TestServer, tempFolder } from "../harness.ts";
import { start } from "../programs.ts";
import { requirePart } from "../require.ts";
import { apiOf, countUntil, newGate, runWhen } from "./gated.ts";
import { record } from "./recorder.ts";
import { filesIn, writeFiles } from "./written-project.ts";

let server: TestServer;
/** A project whose target/ holds a manifest. */
let project: string;

before(async () => {
  server = await startServer({ home: tempFolder("home"), env: KEPT_WARM });
  project = copyProject("tiny");
  writeFiles(
    { "profiles.yml": readFileSync(join(root, "test/fixtures/projects/tiny-profiles/profiles.yml"), "utf8") },
    project,
  );
  const parsed = await cli(["parse"], { cwd: project, server });
  assert.equal(parsed.code, 0, parsed.stdout + parsed.stderr);
});
after(() => server.stop());

test("with a manifest alone: build and ls", async () => {
  const folder = writeFiles({
    "manifest.json": readFileSync(join(project, "target", "manifest.json"), "utf8"),
    "dbt_project.yml": readFileSync(join(project, "dbt_project.yml"), "utf8"),
    "profiles.yml": readFileSync(join(project, "profiles.yml"), "utf8"),
    // Another name than where the manifest was made: the file that is sent is the one that is loaded.
    "csv/people.csv": "id,name\n1,Barbara\n2,Grace\n",
  });
  const options = { cwd: folder, server };
  const built = await cli(["build", "--manifest", "manifest.json", "--seeds-path", "csv"], options);
  assert.equal(built.code, 0, built.stdout + built.stderr);
  assert.match(built.stdout, /PASS=4 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=4/);
  assert.ok(existsSync(join(folder, "target", "run_results.json")));
  const tree = filesIn(server.dataDir).filter((file) => file.endsWith("/tree/target/run/tiny/seeds/people.csv"));
  assert.equal(tree.length, 1);
  const [statement = ""] = tree.map((file) => readFileSync(join(server.dataDir, file), "utf8"));
  const own = join(server.dataDir, (tree[0] ?? "").replace("/target/run/tiny/", "/"));
  assert.ok(statement.includes(`FROM '${own}'`), statement);
  assert.ok(!filesIn(folder).some((file) => file.endsWith("partial_parse.msgpack")));
  const listed = await cli(["ls", "--manifest", "manifest.json", "--output", "name"], options);
  assert.equal(listed.code, 0, listed.stdout + listed.stderr);
  assert.match(listed.stdout, /^counts\nnames\npeople\nnot_null_names_id$/m);

  writeFiles({ "packages.yml": "packages: []\n", "more.yml": "packages: [{local: more}]\n" }, folder);
  const recorded = await record(["ls", "--manifest", "manifest.json", "--extra-packages", "more.yml"], options);
  assert.equal(recorded.request.mode, "manifest");
  assert.deepEqual([...recorded.files.keys()], ["dbt_project.yml", "packages.yml", "target/manifest.json"]);

  const missing = await cli(["ls", "--manifest", "no/manifest.json"], options);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /--manifest names \S+no\/manifest\.json, which does not exist\.\n +dbt parse/);
});

/** The blocks of shell that the page shows. */
function examples(): string[] {
  const page = readFileSync(join(root, "docs", "api.md"), "utf8");
  return [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block ?? "");
}

test("docs/api.md: its example runs as it stands", async (context) => {
  const hasTools = spawnSync("curl", ["--version"]).status === 0 && spawnSync("bash", ["--version"]).status === 0;
  if (!requirePart(context, "curl and bash", hasTools, "the example in docs/api.md needs them")) return;
  const [run = "", cancel = ""] = examples();
  const options = { cwd: project, home: server.home, env: { PORT: String(server.port) } };
  const done = await start("bash", ["-euo", "pipefail", "-c", run], options).done;
  assert.equal(done.code, 0, done.stderr + done.stdout);
  assert.match(done.stdout, /PASS=3 .*TOTAL=3[\s\S]*END JOB\n$/);
  const view = JSON.parse(readFileSync(join(project, "run.json"), "utf8")) as Record<string, unknown>;
  assert.deepEqual([view["status"], view["exitCode"], view["mode"]], ["success", 0, "manifest"]);
  const results = JSON.parse(readFileSync(join(project, "run_results.json"), "utf8")) as { results: unknown[] };
  assert.equal(results.results.length, 3);
  const events = readFileSync(join(project, "events.txt"), "utf8");
  assert.deepEqual(
    [...new Set(events.match(/^event: .*$/gm))].sort(),
    ["dbt-finished", "end", "log", "run"].map((name) => `event: ${name}`),
  );
  const packed = spawnSync("tar", ["-tzf", join(project, "artifacts.tar.gz")], { encoding: "utf8" });
  assert.match(packed.stdout, /^target\/run_results\.json$/m);

  // The part on cancelling, for a run that goes on.
  const gated = copyProject("gated");
  const profiles = join(root, "test", "fixtures", "projects", "gated-profiles");
  const detached = await cli(["--detach", "--profiles-dir", profiles, ...countUntil(newGate())], {
    cwd: gated,
    server,
  });
  const [id] = detached.stdout.split("\n");
  const [variables = ""] = run.split("# Post");
  const script = `${variables}\nRUN=${id}\n${cancel}`;
  const cancelled = await start("bash", ["-euo", "pipefail", "-c", script], options).done;
  assert.equal(cancelled.code, 0, cancelled.stderr);
  await runWhen(server, id ?? "", "cancelled", ({ status }) => status === "cancelled");
  const twice = await start("bash", ["-euo", "pipefail", "-c", script], options).done;
  assert.match(twice.stdout, /"code":"run_finished"/);
});

interface Description {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
}
interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: unknown }[];
  readonly requestBody?: { readonly content: Record<string, { readonly schema: unknown }> };
  readonly responses: Record<
    string,
    { readonly description?: string; readonly content?: Record<string, { readonly schema?: unknown }> }
  >;
}

test("/openapi.json is sound and whole, and /docs shows it", async () => {
  const text = await (await fetch(`${server.url}/openapi.json`)).text();
  const description = JSON.parse(text) as Description;
  assert.match(description.openapi, /^3\.1\./);
  assert.ok(!text.includes("$ref") || !/"\$ref":"(?!#\/)/.test(text), "references stay inside");
  const { default: Ajv } = createRequire(join(root, "package.json"))("ajv/dist/2020") as {
    default: new (options: object) => { compile(schema: unknown): unknown };
  };
  const ajv = new Ajv({ strict: false, validateFormats: false });
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  for (const { path, method, operation } of operations) {
    const where = `${method} ${path}`;
    const named = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
    const given = (operation.parameters ?? []).filter((parameter) => parameter.in === "path").map(({ name }) => name);
    assert.deepEqual(given.sort(), named.sort(), where);
    assert.ok(Object.keys(operation.responses).length > 0, where);
    const schemas = [
      ...(operation.parameters ?? []).map(({ schema }) => schema),
      ...Object.values(operation.requestBody?.content ?? {}).map(({ schema }) => schema),
      ...Object.values(operation.responses).flatMap(({ content }) =>
        Object.values(content ?? {}).flatMap(({ schema }) => schema ?? []),
      ),
    ];
    for (const schema of schemas) ajv.compile(schema);
    for (const { description: said } of Object.values(operation.responses)) assert.equal(typeof said, "string", where);
  }
  const all = operations.map(({ path, method }) => `${method} ${path}`);
  for (const route of ["post /api/v1/runs", "get /api/v1/runs/{ref}/log", "put /api/v1/snapshots/{id}", "get /check"])
    assert.ok(all.includes(route), `${route} of ${all.join(", ")}`);
  const page = await fetch(`${server.url}/docs/`);
  assert.equal(page.status, 200);
  assert.match(await page.text(), /swagger/i);
  const runs = await apiOf(server).runs({});
  assert.ok(runs.runs.length > 0);
});
