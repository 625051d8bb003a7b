import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { tempFolder } from "../../../test/folders.ts";
import { findEdr } from "./edr.ts";
import { edrFailure } from "./failure.ts";
import { elementaryPlace, elementaryProfile } from "./profile.ts";

const project = "/projects/shop";

test("where Elementary's tables are is told by the manifest", () => {
  const node = (values: object) => ({ package_name: "elementary", resource_type: "model", ...values });
  const nodes = {
    "model.shop.a": node({ package_name: "shop", schema: "main" }),
    "test.elementary.b": node({ resource_type: "test", schema: "audit" }),
    "model.elementary.c": node({ schema: "main_elementary", database: "shop" }),
  };
  assert.deepEqual(elementaryPlace({ nodes }), { schema: "main_elementary", database: "shop" });
  for (const manifest of [undefined, {}, { nodes: {} }, { nodes: { "model.shop.a": nodes["model.shop.a"] } }]) {
    assert.equal(elementaryPlace(manifest), undefined);
  }
});

test("the profile is the run's own connection in Elementary's schema, its files absolute", () => {
  const place = { schema: "main_elementary", database: "shop" };
  const made = (output: Record<string, unknown>, profiles: unknown = {}, env = {}) =>
    parse(elementaryProfile({ profiles, output, place, project, env })) as Record<string, unknown>;
  const output = (values: object) => ({ elementary: { target: "default", outputs: { default: values } } });
  assert.deepEqual(
    made({
      type: "duckdb",
      path: "shop.duckdb",
      schema: "main",
      attach: [{ path: "other.duckdb" }, { path: "/x.db" }],
    }),
    output({
      ...{ type: "duckdb", path: "/projects/shop/shop.duckdb", schema: "main_elementary" },
      attach: [{ path: "/projects/shop/other.duckdb" }, { path: "/x.db" }],
    }),
  );
  assert.deepEqual(
    made({ type: "duckdb", path: ":memory:" }),
    output({ type: "duckdb", path: ":memory:", schema: "main_elementary" }),
  );
  assert.deepEqual(
    made({ type: "bigquery", method: "oauth", project: "p", dataset: "d" }),
    output({ type: "bigquery", method: "oauth", project: "shop", dataset: "main_elementary" }),
  );
  assert.deepEqual(
    made({ type: "postgres", password: "{{ env_var('P') }}", dbname: "d", schema: "s" }, {}, { P: "x" }),
    output({ type: "postgres", password: "{{ env_var('P') }}", dbname: "d", schema: "main_elementary" }),
  );
  const own = { elementary: { target: "a", outputs: { a: { type: "duckdb", path: "e.duckdb", schema: "e" } } } };
  assert.deepEqual(made({ type: "duckdb", path: "shop.duckdb" }, own), {
    elementary: { target: "a", outputs: { a: { type: "duckdb", path: "/projects/shop/e.duckdb", schema: "e" } } },
  });
  // Of profiles that are not in use only names come.
  assert.deepEqual(made({ type: "x" }, { elementary: {} }), output({ type: "x", schema: "main_elementary" }));
});

test("why edr ended is told with the cure", () => {
  const told = (output: string, more: object = {}) => {
    const { message, hint } = edrFailure({ exitCode: 1, isTimeout: false, output, ...more }, 900_000);
    return `${message} ${hint}`;
  };
  assert.match(told("Could not find profile named 'elementary'"), /no profile.*generate_elementary_cli_profile/);
  assert.match(told("Catalog Error: Table with name dbt_invocations does not exist!"), /run --select elementary/);
  assert.match(told("External connection exception occurred: hub.getdbt.com"), /setup_internal_dbt_packages/);
  assert.match(
    told("Traceback (most recent call last):\n  module not found\nKeyError: 'version'"),
    /does not say its version\. Install edr's own anew.*setup_internal_dbt_packages.*packages\.yml its version\.$/,
  );
  assert.match(told("", { isTimeout: true }), /did not end within 15 minutes/);
  assert.match(told("", { exitCode: null }), /edr was killed\./);
  assert.match(told("\u001b[31mValueError: bad\u001b[0m\nbye"), /edr ended with exit code 1: ValueError: bad\. Try/);
});

test("edr is looked for beside dbt's Python, then on PATH", () => {
  const folder = tempFolder("edr");
  const [beside, onPath] = [join(folder, "venv"), join(folder, "bin")];
  for (const each of [beside, onPath]) mkdirSync(join(each, "edr-is-no-file", "edr"), { recursive: true });
  const env = { PATH: `${join(onPath, "edr-is-no-file")}:${onPath}` };
  const python = join(beside, "python");
  assert.equal(findEdr(python, env), undefined);
  writeFileSync(join(onPath, "edr"), "");
  assert.equal(findEdr(python, env), undefined);
  chmodSync(join(onPath, "edr"), 0o755);
  assert.equal(findEdr(python, env), join(onPath, "edr"));
  writeFileSync(join(beside, "edr"), "", { mode: 0o755 });
  assert.equal(findEdr(python, env), join(beside, "edr"));
  assert.equal(findEdr(undefined, {}), undefined);
});
