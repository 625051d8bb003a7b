import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  allValues,
  flagState,
  hasFlag,
  lastValue,
  occurrencesOf,
  parseDbtArgv,
  pathOccurrences,
  rewritePaths,
} from "./dbt-argv.ts";
import { ALL_OPTIONS } from "./dbt-commands.ts";

/** argv → verb, options as `name@start-end=values`, positionals. */
const READINGS: readonly [argv: string[], verb: string, options: string[], positionals: string[]][] = [
  [[], "", [], []],
  [["run"], "run", [], []],
  [["ls"], "list", [], []],
  [["docs", "generate"], "docs generate", [], []],
  [["docs", "-d", "serve"], "docs serve", ["-d@1-2"], []],
  [["source", "snapshot-freshness"], "source freshness", [], []],
  [["docs"], "docs", [], []],
  [["docs", "nonsense", "x"], "docs nonsense", [], ["x"]],
  [["nonsense", "--target", "x"], "nonsense", ["--target@1-3=x"], []],
  [["--target", "run", "run"], "run", ["--target@0-2=run"], []],
  [["-xd", "run"], "run", ["-x@0-1", "-d@0-1"], []],
  [["run", "-xtdev"], "run", ["-x@1-2", "-t@1-2=dev"], []],
  [["run", "-xt", "dev"], "run", ["-x@1-2", "-t@1-3=dev"], []],
  [["run", "--vars", "--debug"], "run", ["--vars@1-3=--debug"], []],
  [["run", "--state=a=b"], "run", ["--state@1-2=a=b"], []],
  [["run", "--state"], "run", ["--state@1-2"], []],
  [["run", "-s", "a", "b", "-x", "c"], "run", ["-s@1-4=a,b", "-x@4-5"], ["c"]],
  [["run", "-s", "a", "--", "-x"], "run", ["-s@1-3=a"], ["-x"]],
  [["--", "run", "-x"], "run", ["-x@2-3"], []],
  [["run", "--debug=1", "--new-in-2"], "run", [], []],
  [["init", "-s", "name"], "init", ["-s@1-2"], ["name"]],
  [["source", "freshness", "-o", "x"], "source freshness", ["-o@2-4=x"], []],
  [["--profiles-dir", "p", "run"], "run", ["--profiles-dir@0-2=p"], []],
];

for (const [argv, verb, options, positionals] of READINGS) {
  test(`dbt ${argv.join(" ")} → ${verb || "no command"}`, () => {
    const parsed = parseDbtArgv(argv);
    const read = parsed.options.map(
      ({ name, start, end, values }) => `${name}@${start}-${end}${values.length > 0 ? `=${values.join()}` : ""}`,
    );
    const ends = new Map(parsed.parts.map((part) => [part.start, part.end]));
    assert.equal(parsed.verb, verb);
    assert.deepEqual(read, options);
    assert.deepEqual(
      parsed.positionals.map(({ value }) => value),
      positionals,
    );
    for (const { start, end } of parsed.options) assert.ok(end <= (ends.get(start) ?? 0));
  });
}

test("the last value counts, flags are on, off or absent", () => {
  const parsed = parseDbtArgv(["-t", "a", "--no-debug", "run", "--target=b", "-s", "a b", "c", "-s", "d", "-q"]);
  assert.equal(lastValue(parsed, "--target"), "b");
  assert.equal(lastValue(parsed, "-t"), "b");
  assert.equal(lastValue(parsed, "--state"), undefined);
  assert.deepEqual(allValues(parsed, "--select"), ["a", "b", "c", "d"]);
  assert.deepEqual(allValues(parsed, "--target"), ["a", "b"]);
  assert.deepEqual(
    [flagState(parsed, "--debug"), flagState(parsed, "--quiet"), flagState(parsed, "-x")],
    [false, true, undefined],
  );
  assert.deepEqual([hasFlag(parsed, "-d"), hasFlag(parsed, "-q"), hasFlag(parsed, "--help")], [false, true, false]);
  assert.deepEqual(
    occurrencesOf(parsed, "-s").map(({ level }) => level),
    [1, 1],
  );
});

/** argv → argv with `new` in place of each path, and with the option dropped. */
const REWRITES: readonly [argv: string, replaced: string, dropped: string][] = [
  ["run --state old -x", "run --state new -x", "run -x"],
  ["run --state=old", "run --state=new", "run"],
  ["--log-path old run --select old", "--log-path new run --select old", "run --select old"],
  ["source freshness -o old", "source freshness -o new", "source freshness"],
  ["source freshness -oold", "source freshness -onew", "source freshness"],
  ["source freshness -xqo old", "source freshness -xqo new", "source freshness -xq"],
  ["source freshness -xoold", "source freshness -xonew", "source freshness -x"],
  ["compile --output json", "compile --output json", "compile --output json"],
  ["run --vars --state old", "run --vars --state old", "run --vars --state old"],
  ["run --state", "run --state", "run --state"],
  ["run -- --state old", "run -- --state old", "run -- --state old"],
];

for (const [argv, replaced, dropped] of REWRITES) {
  test(`paths of: dbt ${argv}`, () => {
    const parsed = parseDbtArgv(argv.split(" "));
    assert.equal(rewritePaths(parsed, () => "new").join(" "), replaced);
    assert.equal(rewritePaths(parsed, () => null).join(" "), dropped);
    assert.equal(rewritePaths(parsed, () => undefined).join(" "), argv);
  });
}

test("an attached short option keeps an empty value, and each path tells its kind and base", () => {
  const parsed = parseDbtArgv(["source", "freshness", "-oold", "--project-dir", "p", "--target-path=t"]);
  const empty = rewritePaths(parsed, ({ path }) => (path.kind === "freshness-output" ? "" : undefined));
  assert.deepEqual(empty, ["source", "freshness", "-o", "", "--project-dir", "p", "--target-path=t"]);
  assert.deepEqual(
    pathOccurrences(parsed).map(({ path, value }) => [path.kind, path.base, value]),
    [
      ["freshness-output", "cwd", "old"],
      ["project-dir", "cwd", "p"],
      ["target-path", "project", "t"],
    ],
  );
});

const names = ALL_OPTIONS.flatMap((option) => [...option.names, ...option.negatives]);
const anyToken = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...names) },
  {
    weight: 2,
    arbitrary: fc.constantFrom("run", "docs", "generate", "source", "freshness", "ls", "--", "-", "", "-xd"),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...names), fc.string()).map(([name, value]) => `${name}=${value}`) },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
);

test("any array of strings is read without gaps, and no path rewrite changes it by itself", () => {
  fc.assert(
    fc.property(fc.array(anyToken), (argv) => {
      const parsed = parseDbtArgv(argv);
      let at = 0;
      for (const { start, end } of parsed.parts) {
        assert.equal(start, at);
        assert.ok(end > start);
        at = end;
      }
      assert.equal(at, argv.length);
      assert.deepEqual(
        rewritePaths(parsed, ({ value }) => value),
        argv,
      );
      // Same paths, other values: nothing else is read differently.
      const renamed = parseDbtArgv(rewritePaths(parsed, () => "p"));
      assert.equal(renamed.verb, parsed.verb);
      assert.equal(renamed.options.length, parsed.options.length);
      assert.deepEqual(pathOccurrences(parseDbtArgv(rewritePaths(parsed, () => null))), []);
    }),
    { numRuns: 2000 },
  );
});
