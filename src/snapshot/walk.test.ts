import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { folderWith, sent } from "../../test/walked-folders.ts";
import { describeProject } from "./project.ts";

test("what dbt reads is sent, and nothing else", (t) => {
  const root = folderWith(t, {
    "dbt_project.yml": "name: shop",
    "packages.yml": "",
    "dependencies.yml": "",
    "package-lock.yml": "",
    "selectors.yml": "",
    "vars.yml": "",
    "catalogs.yml": "",
    ".dbtignore": "",
    "README.md": "not read",
    "dbt_remote.yml": "server_url: http://127.0.0.1:1",
    "profiles.yml": "shop:\n  outputs: {}",
    ".env": "A=1",
    ".user.yml": "id: 1",
    ".git/config": "",
    "dev.duckdb": "",
    "models/orders.sql": "select 1",
    "models/.orders.sql.swp": "",
    "models/.#orders.sql": "→user@host.1234",
    "models/deep/er/ünï.sql": "",
    "models/__pycache__/m.pyc": "",
    "models/empty.sql": "",
    "models/profiles.yml": "models: [{name: profiles}]",
    "seeds/countries.csv": "",
    "tests/generic/even.sql": "",
    "tests/fixtures/f.csv": "",
    "analyses/a.sql": "",
    "macros/m.sql": "",
    "macros/tool.sh": "",
    "snapshots/s.sql": "",
    "functions/f.sql": "",
    "scripts/not_sent.py": "",
    "target/manifest.json": "",
    "logs/dbt.log": "",
    ".venv/pyvenv.cfg": "",
    "dbt_packages/utils/dbt_project.yml": "name: utils",
    "dbt_packages/utils/macros/u.sql": "",
    "dbt_packages/utils/.dbtignore": "",
    "dbt_packages/utils/.git/HEAD": "",
    "dbt_packages/utils/ci/profiles.yml": "ci:\n  outputs:\n    x: {}\n",
  });
  assert.deepEqual(sent(root), [
    ".dbtignore",
    "analyses/a.sql",
    "catalogs.yml",
    "dbt_packages/utils/.dbtignore",
    "dbt_packages/utils/dbt_project.yml",
    "dbt_packages/utils/macros/u.sql",
    "dbt_project.yml",
    "dependencies.yml",
    "functions/f.sql",
    "macros/m.sql",
    "macros/tool.sh*",
    "models/deep/er/ünï.sql",
    "models/empty.sql",
    "models/orders.sql",
    "models/profiles.yml",
    "package-lock.yml",
    "packages.yml",
    "seeds/countries.csv",
    "selectors.yml",
    "snapshots/s.sql",
    "tests/fixtures/f.csv",
    "tests/generic/even.sql",
    "vars.yml",
  ]);
});

test("configured folders are sent, configured target and log folders never", (t) => {
  const root = folderWith(t, {
    "dbt_project.yml": [
      "model-paths: [sql/models, './more/']",
      "seed-paths: data",
      "target-path: sql/models/out",
      "log-path: more/log",
      "packages-install-path: vendor",
      "docs-paths: [docs]",
      "asset-paths: [assets]",
      "clean-targets: [sql/models/out, vendor]",
    ].join("\n"),
    "sql/models/a.sql": "",
    "sql/models/out/manifest.json": "",
    "more/b.sql": "",
    "more/log/dbt.log": "",
    "more/elsewhere/x.sql": "",
    "data/s.csv": "",
    "models/default.sql": "",
    "docs/overview.md": "",
    "assets/.hidden.png": "",
    "vendor/p/dbt_project.yml": "",
    "dbt_packages/old/dbt_project.yml": "",
  });
  const expected = [
    "assets/.hidden.png",
    "data/s.csv",
    "dbt_project.yml",
    "docs/overview.md",
    "more/b.sql",
    "more/elsewhere/x.sql",
    "sql/models/a.sql",
    "vendor/p/dbt_project.yml",
  ];
  assert.deepEqual(sent(root), expected);
  assert.deepEqual(
    sent(root, ".", { exclude: ["more/elsewhere"] }),
    expected.filter((name) => !name.includes("elsewhere")),
  );
  const { project } = describeProject(root);
  assert.deepEqual(project.cleanTargets, ["sql/models/out", "vendor"]);
  assert.equal(project.targetDir, path.join(root, "sql/models/out"));
  assert.equal(describeProject(root, { targetPath: "/elsewhere" }).project.targetDir, "/elsewhere");
});

test("where a search path is the project itself, only what dbt reads is sent", (t) => {
  const root = folderWith(t, {
    "dbt_project.yml": "model-paths: ['.']\ndocs-paths: ['.']",
    "a.sql": "",
    "deep/b.md": "",
    "deep/photo.jpg": "",
    "node_modules/x/README.md": "",
    "venv/pyvenv.cfg": "",
    "venv/lib/m.py": "",
    "dbt_remote.yml": "",
    "profiles.yml": "p: {outputs: {}}",
    "w.csv": "",
  });
  assert.deepEqual(sent(root, ".", { exclude: ["w.csv"] }), ["a.sql", "dbt_project.yml", "deep/b.md"]);
});

test("a project that dbt can't read is sent as it is, for dbt's own message", (t) => {
  const root = folderWith(t, { "dbt_project.yml": "name: [unclosed\n  : {", "models/a.sql": "" });
  assert.deepEqual(sent(root), ["dbt_project.yml", "models/a.sql"]);
  const listed = folderWith(t, { "dbt_project.yml": "- a\n- b", "packages.yml": "packages: 3", "models/a.sql": "" });
  assert.deepEqual(sent(listed), ["dbt_project.yml", "models/a.sql", "packages.yml"]);
  const none = folderWith(t, { "models/a.sql": "" });
  assert.deepEqual(sent(none), ["models/a.sql"]);
  assert.throws(() => describeProject(path.join(none, "absent")), { code: "bad_project" });
});

test("Jinja in a path is rendered by who can, else said", (t) => {
  const root = folderWith(t, {
    "dbt_project.yml": `model-paths: ["{{ env_var('M') }}"]`,
    "models/a.sql": "",
    "mine/b.sql": "",
  });
  assert.deepEqual(sent(root, ".", { render: () => "mine" }), ["dbt_project.yml", "mine/b.sql"]);
  assert.match(describeProject(root).warnings.join(), /model-paths.*env_var/);
});

test("include adds files, folders and patterns, but nothing outside and no secret", (t) => {
  const root = folderWith(t, {
    "mono/shop/dbt_project.yml": "",
    "mono/shop/packages.yml": "packages: [{local: ../common}]",
    "mono/shop/data/a.parquet": "",
    "mono/shop/data/deep/b.parquet": "",
    "mono/shop/data/c.csv": "",
    "mono/shop/data/.env": "",
    "mono/shop/extra.txt": "",
    "mono/shop/odd[1].txt": "",
    "mono/shop/profiles.yml": "x:\n  outputs: {}",
    "mono/shop/target/manifest.json": "",
    "mono/shop/models/a.parquet.sql": "",
    "mono/common/dbt_project.yml": "",
    "mono/common/notes.txt": "",
    "outside.txt": "",
  });
  const added = (...include: string[]): string[] =>
    sent(root, "mono/shop", { include }).filter((name) => !/yml$|models/.test(name));
  assert.deepEqual(added("data", "extra.txt"), [
    "shop/data/a.parquet",
    "shop/data/c.csv",
    "shop/data/deep/b.parquet",
    "shop/extra.txt",
  ]);
  assert.deepEqual(added("data/*.parquet"), ["shop/data/a.parquet"]);
  assert.deepEqual(added("**/*.parquet"), ["shop/data/a.parquet", "shop/data/deep/b.parquet"]);
  assert.deepEqual(added("odd[1].txt"), ["shop/odd[1].txt"]);
  assert.deepEqual(added("../common/*.txt", "absent.txt"), ["common/notes.txt"]);
  for (const include of ["../../outside.txt", "../../*.txt", "/etc/hostname", "profiles.yml", "data/.env"])
    assert.throws(() => added(include), { code: "path_outside" }, include);
  assert.throws(() => added("target/manifest.json"), { code: "bad_argument" });
});

test("names that can't travel are errors that say so", { skip: process.platform !== "linux" }, (t) => {
  const root = folderWith(t, { "dbt_project.yml": "", "models/a\\b.sql": "" });
  assert.throws(() => sent(root), { code: "bad_project", message: /backslash/ });
  const latin = folderWith(t, { "dbt_project.yml": "", "models/x.sql": "" });
  writeFileSync(Buffer.concat([Buffer.from(`${latin}/models/`), Buffer.from([0xe9]), Buffer.from(".sql")]), "");
  assert.throws(() => sent(latin), { code: "bad_project", message: /UTF-8/ });
});
