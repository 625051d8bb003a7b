import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { folderWith, sent } from "../../test/walked-folders.ts";
import { describeProject } from "./project.ts";

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
