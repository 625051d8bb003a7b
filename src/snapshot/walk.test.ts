import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { compileDbtIgnore } from "./dbt-ignore.ts";
import { type DescribeOptions, describeProject } from "./project.ts";
import { type WalkOptions, walkProject } from "./walk.ts";

type Tree = Readonly<Record<string, string>>;

/** A folder with these files; a text that starts with `→` makes a link. */
function folderWith(t: TestContext, files: Tree): string {
  const root = realpathSync(mkdtempSync(path.join(tmpdir(), "walk-")));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(root, name);
    mkdirSync(path.dirname(file), { recursive: true });
    if (text.startsWith("→")) symlinkSync(text.slice(1).replace("ROOT", root), file);
    else writeFileSync(file, text, { mode: name.endsWith(".sh") ? 0o755 : 0o644 });
  }
  return root;
}

function sent(root: string, projectDir = ".", options: WalkOptions & DescribeOptions = {}): string[] {
  const layout = describeProject(path.join(root, projectDir), options);
  return walkProject(layout, options).map(({ path: name, mode, link }) =>
    link !== undefined ? `${name} → ${link}` : mode === "100755" ? `${name}*` : name,
  );
}

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

test("local packages outside move the root up, and links into them are recreated", (t) => {
  const root = folderWith(t, {
    "mono/shop/dbt_project.yml": "name: shop",
    "mono/shop/packages.yml": "packages:\n  - local: ../common\n  - package: x/y\n    version: 1.0.0",
    "mono/shop/models/a.sql": "",
    "mono/shop/dbt_packages/common": "→ROOT/mono/common",
    "mono/shop/dbt_packages/gone": "→ROOT/nowhere",
    "mono/common/dbt_project.yml": "name: common\nmacro-paths: [lib]",
    "mono/common/packages.yml": "packages: [{local: ../base}]",
    "mono/common/.dbtignore": "lib/old*",
    "mono/common/lib/m.sql": "",
    "mono/common/lib/old.sql": "",
    "mono/common/README.md": "",
    "mono/common/target/x": "",
    "mono/base/dbt_project.yml": "name: base",
    "mono/base/models/b.sql": "",
    "mono/other/dbt_project.yml": "name: other",
  });
  assert.deepEqual(sent(root, "mono/shop"), [
    "base/dbt_project.yml",
    "base/models/b.sql",
    "common/.dbtignore",
    "common/dbt_project.yml",
    "common/lib/m.sql",
    "common/packages.yml",
    "shop/dbt_packages/common → ../../common",
    "shop/dbt_project.yml",
    "shop/models/a.sql",
    "shop/packages.yml",
  ]);
  const layout = describeProject(path.join(root, "mono/shop"));
  assert.equal(layout.root, path.join(root, "mono"));
  assert.equal(layout.projectDir, "shop");
  assert.throws(() => describeProject(path.join(root, "mono/shop"), { home: path.join(root, "mono") }), {
    code: "path_outside",
    message: /mono\/base|mono\/common/,
  });
  // A project that is the home folder itself shares it with nobody.
  assert.equal(describeProject(path.join(root, "mono/base"), { home: path.join(root, "mono/base") }).projectDir, ".");
});

test("a package linked by an earlier `dbt deps` is sent, though packages.yml names it in Jinja", (t) => {
  const root = folderWith(t, {
    "shop/dbt_project.yml": "name: shop",
    "shop/packages.yml": `packages: [{local: "{{ env_var('P') }}"}]`,
    "shop/dbt_packages/common": "→ROOT/common",
    "common/dbt_project.yml": "name: common",
    "common/macros/m.sql": "",
  });
  assert.deepEqual(sent(root, "shop"), [
    "common/dbt_project.yml",
    "common/macros/m.sql",
    "shop/dbt_packages/common → ../../common",
    "shop/dbt_project.yml",
    "shop/packages.yml",
  ]);
});

test("a link brings along the file that it points to, through other links too", (t) => {
  const root = folderWith(t, {
    "dbt_project.yml": "model-paths: [models, linked]",
    "models/a.sql": "→../shared/one/a.sql",
    "models/b.sql": "→ROOT/lib/b.sql",
    "models/c.sql": "→../lib/../lib/c.sql",
    "models/dangling.sql": "→nothing.sql",
    "models/folder": "→../data",
    shared: "→lib",
    "lib/one/a.sql": "",
    "lib/b.sql": "",
    "lib/c.sql": "",
    "data/big.bin": "",
    linked: "→elsewhere/models",
    "elsewhere/models/d.sql": "",
    "profiles.yml": "x:\n  outputs: {}",
    "models/p.yml": "→../profiles.yml",
  });
  assert.deepEqual(sent(root), [
    "dbt_project.yml",
    "elsewhere/models/d.sql",
    "lib/b.sql",
    "lib/c.sql",
    "lib/one/a.sql",
    "linked → elsewhere/models",
    "models/a.sql → ../shared/one/a.sql",
    "models/b.sql → ../lib/b.sql",
    "models/c.sql → ../lib/c.sql",
    "models/dangling.sql → nothing.sql",
    "models/folder → ../data",
    "models/p.yml → ../profiles.yml",
    "shared → lib",
  ]);
});

for (const target of ["../../outside.sql", "ROOT/outside.sql", "/etc/hostname", "/nowhere/at/all"])
  test(`a link to ${target} is an error that names it, unless dbt ignores it`, (t) => {
    const root = folderWith(t, {
      "shop/dbt_project.yml": "",
      "shop/models/leak.sql": `→${target}`,
      "outside.sql": "",
    });
    assert.throws(() => sent(root, "shop"), { code: "path_outside", message: /models\/leak\.sql/ });
    writeFileSync(path.join(root, "shop/.dbtignore"), "models/leak.sql\n");
    assert.deepEqual(sent(root, "shop"), [".dbtignore", "dbt_project.yml"]);
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

test(".dbtignore works as in dbt: whole paths, the last pattern that matches wins", () => {
  const ignored = (text: string, ...paths: string[]): string[] => {
    const isIgnored = compileDbtIgnore(text);
    return paths.filter((name) => isIgnored?.(name) ?? false);
  };
  assert.deepEqual(ignored("# only a comment\n\n/\n", "models/a.sql"), []);
  assert.deepEqual(ignored("*.md", "models/a.md", "models/b/c.md", "models/a.sql"), ["models/a.md", "models/b/c.md"]);
  assert.deepEqual(ignored("a.sql\r\n  b.sql  ", "models/a.sql", "models/b.sql"), ["models/a.sql", "models/b.sql"]);
  assert.deepEqual(ignored("old/", "models/old/a.sql", "old/b.sql", "models/old.sql"), [
    "models/old/a.sql",
    "old/b.sql",
  ]);
  assert.deepEqual(ignored("models/*.sql", "models/a.sql", "models/b/a.sql"), ["models/a.sql"]);
  assert.deepEqual(ignored("models/**/x.sql", "models/x.sql", "models/a/b/x.sql"), [
    "models/x.sql",
    "models/a/b/x.sql",
  ]);
  assert.deepEqual(ignored("/models/a", "models/a/x.sql", "b/models/a/x.sql"), ["models/a/x.sql"]);
  // Git would not re-include a file of an excluded folder; dbt does.
  assert.deepEqual(ignored("models/old/\n!models/old/keep.sql", "models/old/a.sql", "models/old/keep.sql"), [
    "models/old/a.sql",
  ]);
  assert.deepEqual(ignored("*.sql\n!keep*\nkeep_not.sql", "keep.sql", "keep_not.sql", "a.sql"), [
    "keep_not.sql",
    "a.sql",
  ]);
  assert.deepEqual(ignored("A.sql", "a.sql"), []);
  assert.deepEqual(ignored("shared/*.sql", "../shared/a.sql"), []);
  assert.deepEqual(ignored("*.sql", "../shared/a.sql"), ["../shared/a.sql"]);
});
