/** The commands that local dbt and dbt-remote must agree on. */
import { cpSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Scenario, step } from "./scenario.ts";

const write = (path: string, text: string) => (project: string) => writeFileSync(join(project, path), text);
const drop = (path: string) => (project: string) => rmSync(join(project, path), { recursive: true });
const move = (from: string, to: string) => (project: string) => renameSync(join(project, from), join(project, to));
const replace = (path: string, from: string, to: string) => (project: string) => {
  const file = join(project, path);
  const text = readFileSync(file, "utf8");
  if (!text.includes(from)) throw new Error(`${path} does not hold ${from}`);
  writeFileSync(file, text.replace(from, to));
};
const keepTarget = (as: string) => (project: string) =>
  cpSync(join(project, "target"), join(project, as), { recursive: true });

/** Changes a file without changing its size or mtime, which local dbt's partial parsing misses. */
const replaceUnseen = (path: string, from: string, to: string) => (project: string) => {
  const file = join(project, path);
  const { atime, mtime } = statSync(file);
  if (from.length !== to.length) throw new Error("an unseen change keeps the size");
  replace(path, from, to)(project);
  utimesSync(file, atime, mtime);
};

/** On DuckDB, in every test run. */
export const DUCKDB = {
  day: {
    name: "a day's work",
    steps: [
      step("deps"),
      step("build"),
      step("run -s customers+"),
      step("seed --show", { anyOrder: true }),
      step("ls"),
      step("ls --selector marts --quiet"),
      step("show -s customers --limit 2"),
      { args: ["show", "--inline", "select 'it''s $HOME' as a, {{ var('x', 3) }} as b"] },
      step("docs generate"),
      step("source freshness -o target/fresh.json"),
      { args: ["run-operation", "greet", "--args", '{name: "two words, a \\"quote\\" and $PATH"}'] },
      step("--log-format json ls -s customers"),
      step("--debug --version", { compare: "code" }),
      step("debug", { compare: "code" }),
    ],
  },
  failures: {
    name: "what fails",
    steps: [
      step("deps"),
      step("build --fail-fast --vars broken:1", { code: 2 }),
      { args: ["build", "--vars", "{broken: true}"], code: 1 },
      { args: ["retry"], code: 1 },
      { args: ["test", "--vars", '{"min_spent": 1000}'], code: 1 },
      step("run --bogus", { code: 2 }),
      step("frobnicate", { code: 2 }),
      step("run -s nothing_there"),
      step("run -t nowhere", { code: 2 }),
      step("run-operation fail_now", { code: 1 }),
      { args: ["run", "--vars", "{broken"], code: 2 },
      step("compile", { edit: write("models/marts/syntax.sql", "select {{ ref('customers' }}\n"), code: 2 }),
      step("parse", { edit: write("models/marts/bad.yml", "version: 2\nmodels: [\n"), code: 2 }),
    ],
  },
  edits: {
    name: "edits between runs",
    steps: [
      step("deps"),
      step("run"),
      step("run -s customers", {
        edit: replace("models/marts/customers.sql", "count(o.order_id)", "count(distinct o.order_id)"),
      }),
      step("ls", { edit: drop("models/marts/below_broken.sql") }),
      step("run", { edit: move("models/marts/env_label.sql", "models/marts/label.sql") }),
      step("run -s label", { env: { SHOP_LABEL: "from the shell" } }),
      step("ls --quiet -s config.tags:fresher --output json", {
        edit: replaceUnseen("models/marts/maybe_broken.sql", "fragile", "fresher"),
        localOnlyArgs: ["--no-partial-parse"],
      }),
      step("docs generate --quiet --no-compile", {
        edit: replaceUnseen("models/properties.yml", "name: Ada", "name: Eva"),
        localOnlyArgs: ["--no-partial-parse"],
      }),
      step("ls -s state:modified --state before --output name", {
        edit: (project) => {
          keepTarget("before")(project);
          replace("models/marts/customers.sql", "group by 1, 2, 3", "group by 3, 2, 1")(project);
        },
      }),
      step("run -s state:modified --defer --state before"),
      step("run --target-path elsewhere -s label", { target: "elsewhere" }),
      step("compile -s label", { cwd: "models/marts" }),
      step("seed -s raw_orders", {
        edit: write("seeds/raw_orders.csv", "id,customer_id,amount,ordered_at\n1,1,2.50,2024-03-03\n"),
      }),
      step("clean", { anyOrder: true }),
      step("deps"),
    ],
  },
} as const satisfies Readonly<Record<string, Scenario>>;

/** On PostgreSQL, in every test run. */
export const POSTGRES: Scenario = {
  name: "on PostgreSQL",
  steps: [
    step("deps"),
    step("build"),
    step("run -s customers+"),
    step("test"),
    step("show -s customers --limit 1"),
    step("snapshot"),
    step("docs generate"),
    { args: ["build", "--vars", "{broken: true}"], code: 1 },
    { args: ["retry", "--vars", "{broken: false}"], code: 0 },
    step("run -s orders_incremental --full-refresh"),
  ],
};

/** More of both, in the long suite. */
export const LONG: Scenario = {
  name: "selection and flags",
  steps: [
    step("deps"),
    step("build --exclude tag:fragile+"),
    step("run -s path:models/staging"),
    step("run -m stg_customers stg_orders --threads 1"),
    step("build --resource-type model --resource-type seed"),
    step("build --empty"),
    step("test --indirect-selection cautious -s customers"),
    step("run --log-level error"),
    step("run --log-level debug -s env_label", { compare: "code" }),
    step("run --no-print -s env_label"),
    step("run --warn-error -s nothing_there"),
    step("run --printer-width 120 -s customers"),
    step("ls --output path"),
    step("ls --output json --output-keys name unique_id"),
    step("compile --output json -s customers"),
    step("show -s customers --output json"),
    step("compile --no-introspect -s customers"),
    step("clone --state before", { edit: keepTarget("before") }),
    step("run --no-partial-parse -s customers"),
    step("build --threads 4", { anyOrder: true }),
    // dbt-remote has its own, with dbt's options and its own, and asks no server for it.
    step("run --help", { compare: "code" }),
    step("test --store-failures -s customers"),
    step("run-operation greet --args {name:x}"),
  ],
};

/** The rest of the day, in the long suite. */
export const LONGER_DAY: Scenario = {
  name: "the rest of the day",
  steps: [
    step("deps"),
    step("build"),
    step("run"),
    step("test"),
    step("seed --full-refresh"),
    step("run -s orders_incremental --full-refresh"),
    step("ls --output json --resource-type model"),
    step("docs generate --static --no-compile"),
    step("parse --no-partial-parse"),
    step("--quiet run -s customers"),
    step("--no-use-colors run -s stg_orders"),
    step("run-operation greet", { code: 0 }),
    step("test -s test_type:unit"),
    step("snapshot"),
    step("compile -s customers"),
    step("ls --resource-type model"),
    step("source freshness"),
    step("run-operation no_such_macro", { code: 2 }),
    step("run -s customers --threads nine", { code: 2 }),
    step("ls", { edit: write("models/marts/syntax.sql", "select * from {{ ref('no_such_model') }}\n"), code: 2 }),
  ],
};

/** With other versions of dbt, in the long suite. */
export const VERSIONS: Scenario = {
  name: "the main commands",
  steps: [
    step("deps"),
    step("build"),
    step("run -s customers", { edit: replace("models/marts/customers.sql", "count(o.order_id)", "count(1)") }),
    step("ls --output json --resource-type model"),
    step("show -s customers --limit 1"),
    step("docs generate"),
    { args: ["build", "--vars", "{broken: true}"], code: 1 },
    { args: ["retry", "--vars", "{broken: false}"] },
    step("run --bogus", { code: 2 }),
    step("--version", { compare: "code" }),
  ],
};
