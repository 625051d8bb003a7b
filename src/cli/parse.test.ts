import assert from "node:assert/strict";
import { test } from "node:test";
import { CLI_OPTIONS, optionsOf } from "../config/cli-options.ts";
import { ALL_OPTIONS } from "../core/dbt-commands.ts";
import { AppError } from "../core/errors.ts";
import { parse } from "./parse.ts";

/** The gist of what was parsed, to compare. */
function gist(line: string | string[]) {
  const parsed = parse(typeof line === "string" ? line.split(" ").filter((word) => word !== "") : line);
  switch (parsed.kind) {
    case "help":
      return ["help", ...parsed.words];
    case "version":
      return ["version", parsed.flags];
    case "own":
      return [parsed.verb, parsed.positionals, parsed.flags];
    case "local":
      return ["local", parsed.verb, parsed.argv];
    case "dbt":
      return ["dbt", parsed.dbt.verb, parsed.dbt.argv.join(" "), parsed.flags];
  }
}

test("argv to what is to be done", () => {
  const cases: [string | string[], unknown][] = [
    ["", ["help"]],
    ["--help", ["help"]],
    ["run --help", ["help", "run"]],
    ["-h run", ["help"]],
    ["docs generate -h", ["help", "docs", "generate"]],
    ["logs --help", ["help", "logs"]],
    ["--version", ["version", {}]],
    ["-v --server-url http://x:1", ["version", { serverUrl: ["http://x:1"] }]],
    ["run -s a b", ["dbt", "run", "run -s a b", {}]],
    ["--detach run -s a --json b", ["dbt", "run", "run -s a b", { detach: ["true"], json: ["true"] }]],
    ["--target prod run --env A --env=B", ["dbt", "run", "--target prod run", { env: ["A", "B"] }]],
    ["ls -o json", ["dbt", "list", "ls -o json", {}]],
    ["show -s a --limit 3", ["dbt", "show", "show -s a --limit 3", {}]],
    [
      ["run", "--vars", "--detach"],
      ["dbt", "run", "run --vars --detach", {}],
    ],
    ["no-such-command -x", ["dbt", "no-such-command", "no-such-command -x", {}]],
    ["runs --limit 3 --status failed", ["runs", [], { limit: ["3"], status: ["failed"] }]],
    ["--server-url http://x:1 runs", ["runs", [], { serverUrl: ["http://x:1"] }]],
    ["logs -f 12", ["logs", ["12"], { follow: ["true"] }]],
    ["artifacts latest -o out", ["artifacts", ["latest"], { output: ["out"] }]],
    ["config set workspace x", ["config", ["set", "workspace", "x"], {}]],
    ["cancel -- 12", ["cancel", ["12"], {}]],
    ["init my_project", ["local", "init", ["init", "my_project"]]],
    ["docs serve --port 8080", ["local", "docs serve", ["docs", "serve", "--port", "8080"]]],
  ];
  for (const [line, wanted] of cases) assert.deepEqual(gist(line), wanted, String(line));
});

test("misuse of own options is an error that names it", () => {
  const fails = (line: string, message: RegExp) =>
    assert.throws(
      () => parse(line.split(" ")),
      (error) => error instanceof AppError && error.code === "bad_argument" && message.test(error.message),
    );
  fails("run --server-url", /--server-url needs a value/);
  fails("runs --frobnicate", /runs has no option --frobnicate/);
  fails("logs 1 -x", /no option -x/);
});

test("no option of dbt-remote on dbt commands takes a name that dbt has", () => {
  const taken = new Set(ALL_OPTIONS.flatMap(({ names, negatives }) => [...names, ...negatives]));
  const own = optionsOf("dbt").filter(([name]) => name !== "help");
  for (const [, { flag, aliases = [] }] of own)
    for (const name of [flag, ...aliases]) assert.ok(name === undefined || !taken.has(name), name);
});

test("environment variables of options are unique and never dbt's own, but where they mean the same", () => {
  const names = Object.values(CLI_OPTIONS).flatMap((spec) => ("env" in spec ? [spec.env as string] : []));
  assert.equal(new Set(names).size, names.length);
});
