import assert from "node:assert/strict";
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type CliOptions, cli, KEPT_WARM, type Result, startServer, type TestServer, tempFolder } from "../harness.ts";
import { record } from "./recorder.ts";
import { DUCKDB_PROFILE, filesIn, projectYaml, writeFiles } from "./written-project.ts";

let server: TestServer;
before(async () => {
  server = await startServer({ env: KEPT_WARM });
});
after(() => server.stop());

/** What a workspace holds: tables of its DuckDB file, nodes that dbt has parsed, and the text of a file. */
const LOOK = `
{% macro look(file='') %}
  {% set tables = run_query("select table_name from information_schema.tables order by 1").columns[0].values() %}
  {% do print('tables: ' ~ tables | join(' ')) %}
  {% do print('nodes: ' ~ graph.nodes.keys() | sort | join(' ')) %}
  {% if file %}{% do print('file: ' ~ run_query("select content from read_text('" ~ file ~ "')").columns[0].values()[0]) %}{% endif %}
{% endmacro %}
{% macro leave(table, file) %}
  {% do run_query("create table if not exists " ~ table ~ " as select 1 as id") %}
  {% do run_query("copy (select 'made by a run') to '" ~ file ~ "' (header false)") %}
{% endmacro %}
`;

const look = async (options: CliOptions, args: readonly string[] = []): Promise<Result> => {
  const result = await cli(["run-operation", "look", ...args], { server, ...options });
  assert.equal(result.code, 0, result.stdout + result.stderr);
  return result;
};

test("a workspace lives on between runs; edits, deletions, renames and files in the way arrive", async () => {
  const project = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": DUCKDB_PROFILE,
    "dbt_remote.yml": "include: [data]\n",
    "macros/look.sql": LOOK,
    "models/kept.sql": "select 1 as id",
    "models/deleted.sql": "select 2 as id",
    "models/old_name.sql": "select 3 as id",
    "models/größe/naïve_名.sql": "select 4 as id",
    "models/empty.yml": "",
    "data/notes.txt": "first",
    "data/run.sh": "#!/bin/sh\n",
    "models/profiles/profiles.yml": "p: {outputs: {dev: {type: duckdb, password: planted-in-profiles}}}\n",
    ".env": "A=planted-in-dotenv\n",
    ".env.local": "A=planted-in-dotenv\n",
    "models/ignored/broken.sql": "{{ not sent",
    ".dbtignore": "models/ignored/\n",
    "target/old.sql": "{{ not sent",
    "node_modules/x/models/x.sql": "not sent",
    "README.md": "not sent",
  });
  chmodSync(join(project, "data", "run.sh"), 0o755);
  const args = JSON.stringify({ table: "made", file: "models/in_the_way" });
  const made = await cli(["run-operation", "leave", "--args", args], { cwd: project, server });
  assert.equal(made.code, 0, made.stdout + made.stderr);

  rmSync(join(project, "models", "deleted.sql"));
  cpSync(join(project, "models", "old_name.sql"), join(project, "models", "new_name.sql"));
  rmSync(join(project, "models", "old_name.sql"));
  // A folder of the project where a run had made a file.
  writeFiles({ "models/in_the_way/below.sql": "select 5 as id", "data/notes.txt": "second" }, project);
  const seen = await look({ cwd: project }, ["--args", JSON.stringify({ file: "data/notes.txt" })]);
  assert.match(seen.stdout, /^tables: made$/m);
  assert.match(seen.stdout, /^nodes: model\.p\.below model\.p\.kept model\.p\.naïve_名 model\.p\.new_name$/m);
  assert.match(seen.stdout, /^file: second$/m);

  const files = filesIn(server.dataDir);
  const tree = files.filter((file) => /^workspaces\/[^/]+\/1\/tree\//.test(file));
  const inTree = (end: string) => tree.filter((file) => file.endsWith(`/tree/${end}`));
  assert.equal(inTree("models/empty.yml").length, 1);
  const [script = ""] = inTree("data/run.sh");
  assert.equal(statSync(join(server.dataDir, script)).mode & 0o111, 0o111);
  assert.equal(statSync(join(server.dataDir, inTree("data/notes.txt")[0] ?? "")).mode & 0o111, 0);
  for (const absent of [
    "README.md",
    ".env",
    ".env.local",
    "profiles.yml",
    "models/profiles/profiles.yml",
    "target/old.sql",
  ])
    assert.deepEqual(inTree(absent), [], absent);
  assert.ok(!tree.some((file) => /ignored|node_modules/.test(file)));
  // The server's folder holds a profile only while its run goes on.
  assert.ok(!files.some((file) => file.endsWith("profiles.yml")));
});

test("a named workspace is shared by checkouts of one user, and never with another user", async () => {
  const files = { "dbt_project.yml": projectYaml(), "profiles.yml": DUCKDB_PROFILE, "macros/look.sql": LOOK };
  const [here, there] = [writeFiles(files), writeFiles(files)];
  mkdirSync(join(there, "models"));
  const named = { DBT_REMOTE_WORKSPACE: "ours" };
  const args = JSON.stringify({ table: "shared", file: "x.csv" });
  const made = await cli(["run-operation", "leave", "--args", args, "--workspace", "ours"], { cwd: here, server });
  assert.equal(made.code, 0, made.stdout + made.stderr);
  const [same, other] = await Promise.all([
    look({ cwd: there, env: named }),
    look({ cwd: here, env: named, home: tempFolder("home") }),
  ]);
  assert.match(same.stdout, /^tables: shared$/m);
  assert.match(other.stdout, /^tables: $/m);
});

test("what is sent: links stay links, and one that leaves the snapshot is an error that names it", async () => {
  const outside = writeFiles({ "secret.sql": "select 'planted-outside'" });
  const project = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": DUCKDB_PROFILE,
    "shared/one.sql": "select 1 as id",
    "p.duckdb": "database",
    "p.duckdb.wal": "database",
    "models/deep/x.sql": "select 1 as id",
  });
  mkdirSync(join(project, "models"), { recursive: true });
  symlinkSync("../shared/one.sql", join(project, "models", "linked.sql"));
  const { files } = await record(["run"], { cwd: project });
  assert.equal(files.get("models/linked.sql"), "120000");
  assert.equal(files.get("shared/one.sql"), "100644");
  assert.ok(![...files.keys()].some((path) => path.startsWith("p.duckdb")));

  symlinkSync(join(outside, "secret.sql"), join(project, "models", "leaves.sql"));
  const refused = await cli(["run"], { cwd: project, server });
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /The link \S+models\/leaves\.sql points to \S+secret\.sql, outside/);
  assert.equal(refused.stdout, "");
  assert.ok(!existsSync(join(project, "target")));
});

test("local packages outside the project are sent with it, and a package's folder is not rewritten", async () => {
  const folder = writeFiles({
    "app/dbt_project.yml": projectYaml(),
    "app/packages.yml": "packages: [{local: ../}, {local: ../libs/second}]\n",
    "app/profiles.yml": DUCKDB_PROFILE,
    "app/models/m.sql": "select 1 as id",
    "dbt_project.yml": "name: above\n",
    "macros/above.sql": "{% macro above() %}{% endmacro %}",
    "notes/secret.txt": "not of the project",
    "libs/second/dbt_project.yml": "name: second\n",
    "libs/second/models/s.sql": "select 2 as id",
  });
  const { files, request } = await record(["run"], { cwd: join(folder, "app") });
  assert.equal(request.projectDir, "app");
  assert.deepEqual(
    [...files.keys()].sort(),
    [
      ...["app/dbt_project.yml", "app/models/m.sql", "app/packages.yml", "dbt_project.yml"],
      ...["libs/second/dbt_project.yml", "libs/second/models/s.sql", "macros/above.sql"],
    ].sort(),
  );
});
