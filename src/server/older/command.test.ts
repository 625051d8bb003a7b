import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AppError } from "../../core/errors.ts";
import { olderCommand } from "./command.ts";
import { parsePythonLiteral } from "./python-literal.ts";

test("words joined by blanks become what was typed", () => {
  const cases: [string, string[]][] = [
    ["run", ["run"]],
    ['run --vars {"cutoff": 5}', ["run", "--vars", '{"cutoff": 5}']],
    [
      'run --vars {"a": {"b": [1, 2]}, "c": "x}"} -s m',
      ["run", "--vars", '{"a": {"b": [1, 2]}, "c": "x}"}', "-s", "m"],
    ],
    ["run --vars {a: it's} -s m", ["run", "--vars", "{a: it's}", "-s", "m"]],
    ["run --vars cutoff: 5 --select a b", ["run", "--vars", "cutoff: 5", "--select", "a", "b"]],
    ['run --vars={"cutoff": 5} -x', ["run", '--vars={"cutoff": 5}', "-x"]],
    ["run --vars {a: -5 -s m", ["run", "--vars", "{a: -5", "-s", "m"]],
    ['--warn-error-options {"error": "all"} run', ["--warn-error-options", '{"error": "all"}', "run"]],
    ["--vars a: 5 run", ["--vars", "a: 5", "run"]],
    ["run-operation grant --args {role: x, n: 2}", ["run-operation", "grant", "--args", "{role: x, n: 2}"]],
    [
      "show --inline select 1 as id, -2 as n --limit 5",
      ["show", "--inline", "select 1 as id, -2 as n", "--limit", "5"],
    ],
    ["docs generate --select  a", ["docs", "generate", "--select", "a"]],
    ['run --vars {"a":  "two  blanks"}', ["run", "--vars", '{"a":  "two  blanks"}']],
  ];
  for (const [text, argv] of cases) assert.deepEqual(olderCommand(text, {}), argv, text);
});

test("options that come apart are added, but for what dbt does anyway and what was typed", () => {
  const recorded =
    "{'cache_selected_only': False, 'debug': False, 'log_file_max_bytes': 10485760, 'log_format_file': 'debug', " +
    "'log_level': 'info', 'partial_parse': True, 'print': True, 'printer_width': 80, 'use_colors': True, " +
    "'single_threaded': False, 'warn_error_options': WarnErrorOptions(include=[], exclude=[]), " +
    "'log_format': 'default', 'server_url': 'http://127.0.0.1:8001/', 'target': 'prod'}";
  const overrides = parsePythonLiteral(recorded) as Record<string, unknown>;
  assert.deepEqual(olderCommand("run --vars {a: 1}", overrides), ["run", "--target", "prod", "--vars", "{a: 1}"]);
  assert.deepEqual(
    olderCommand("docs generate -t dev", { target: "prod", log_level: "debug", log_format: "json", use_colors: false }),
    ["docs", "generate", "--log-level", "debug", "--log-format", "json", "--no-use-colors", "-t", "dev"],
  );
  assert.deepEqual(olderCommand("run", { fail_fast: true, threads: 4, vars: { a: 1 }, select: ["a", "b"], nope: 1 }), [
    ...["run", "--fail-fast", "--threads", "4", "--vars", '{"a":1}', "--select", "a", "b"],
  ]);
  assert.deepEqual(olderCommand("list", { limit: 1, quiet: true, profile: null }), ["list", "--quiet"]);
});

test("Python's values are read, and nothing else is", () => {
  const cases: [string, unknown][] = [
    ["{}", {}],
    [
      "{'a': True, 'b': None, 'c': (1, 2.5,), 'd': [-1e3], \"e\": 'it\\'s', 3: 'x'}",
      { a: true, b: null, c: [1, 2.5], d: [-1000], e: "it's", 3: "x" },
    ],
    ["{'a': '\\n\\t\\\\ \\x41\\u00e9\\U0001f600'}", { a: "\n\t\\ Aé😀" }],
    [
      "{'p': PosixPath('/tmp/x'), 'w': Options(include='all', exclude=['a'])}",
      { p: "/tmp/x", w: { include: "all", exclude: ["a"] } },
    ],
    ["{'__proto__': 1}", Object.fromEntries([["__proto__", 1]])],
  ];
  for (const [text, value] of cases) assert.deepEqual(parsePythonLiteral(text), value, text);
  for (const text of ["", "{", "{'a'}", "{'a': }", "{'a': 1} x", "{'a': __import__}", "'", "[".repeat(100), "<x>"]) {
    assert.throws(() => parsePythonLiteral(text), AppError, text);
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parsePythonLiteral(text);
      } catch (error) {
        assert.ok(error instanceof AppError);
      }
      assert.ok(olderCommand(text, {}).every((word) => typeof word === "string"));
    }),
  );
});
