import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseDbtArgv } from "./dbt-argv.ts";
import { ALL_OPTIONS } from "./dbt-commands.ts";
import { type OwnOption, splitArgv } from "./split-argv.ts";

const OWN: readonly OwnOption[] = [
  { flag: "--server-url", takesValue: true },
  { flag: "--detach", takesValue: false },
  { flag: "--env", takesValue: true },
];

/** typed → own as `name=value@index`, dbt's argv. */
const SPLITS: readonly [typed: string, own: string, dbt: string][] = [
  ["run", "", "run"],
  ["--detach run", "--detach@0", "run"],
  ["run --detach", "--detach@1", "run"],
  ["--server-url u run --env=A --env B", "--server-url=u@0 --env=A@3 --env=B@4", "run"],
  ["--server-url=a=b run", "--server-url=a=b@0", "run"],
  ["run --server-url - x", "--server-url=-@1", "run x"],
  ["run --vars --detach", "", "run --vars --detach"],
  ["run --vars --detach --detach", "--detach@3", "run --vars --detach"],
  ["run -t --detach", "", "run -t --detach"],
  ["run -xt --detach", "", "run -xt --detach"],
  ["run -xtdev --detach", "--detach@2", "run -xtdev"],
  ["run --vars={} --detach", "--detach@2", "run --vars={}"],
  ["run --select a --detach b -x", "--detach@3", "run --select a b -x"],
  ["run --select a --server-url u b", "--server-url=u@3", "run --select a b"],
  ["run --select a --server-url u --detach", "--server-url=u@3 --detach@5", "run --select a"],
  ["run --select --detach a", "", "run --select --detach a"],
  ["run --select=a --detach b --detach", "--detach@2 --detach@4", "run --select=a b"],
  ["run -- --detach", "", "run -- --detach"],
  ["-- run --detach", "", "-- run --detach"],
  ["run --vars -- --detach", "--detach@3", "run --vars --"],
  ["docs --detach generate", "--detach@1", "docs generate"],
  ["runs --status failed --detach", "--detach@3", "runs --status failed"],
  ["run --detached --no-detach -detach", "", "run --detached --no-detach -detach"],
];

for (const [typed, own, dbt] of SPLITS) {
  test(`${typed} → ${dbt}`, () => {
    const split = splitArgv(typed.split(" "), OWN);
    const read = split.own.map(({ name, value, index }) => `${name}${value === true ? "" : `=${value}`}@${index}`);
    assert.equal(read.join(" "), own);
    assert.equal(split.dbt.join(" "), dbt);
    assert.equal(split.error, undefined);
  });
}

/** typed → message. */
const MISUSES: readonly [typed: string, message: string][] = [
  ["run --server-url", "Option --server-url needs a value."],
  ["run --server-url --detach", "Option --server-url needs a value."],
  ["run --select a --env -x", "Option --env needs a value."],
  ["run --detach=yes", 'Option --detach takes no value, but was given "yes".'],
];

for (const [typed, message] of MISUSES) {
  test(`${typed} is refused`, () => {
    const { error } = splitArgv(typed.split(" "), OWN);
    assert.equal(error?.message, message);
    assert.equal(error?.exitCode, 2);
  });
}

const names = ALL_OPTIONS.flatMap((option) => [...option.names, ...option.negatives]);
const dbtToken = fc
  .oneof(
    { weight: 4, arbitrary: fc.constantFrom(...names) },
    { weight: 3, arbitrary: fc.constantFrom("run", "docs", "generate", "--", "-", "", "-xd", "-xs", "model_a") },
    { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
  )
  .filter((token) => !OWN.some(({ flag }) => token === flag || token.startsWith(`${flag}=`)));

test("without own options nothing changes, whatever is typed", () => {
  fc.assert(
    fc.property(fc.array(dbtToken), (argv) => {
      assert.deepEqual(splitArgv(argv, OWN), { own: [], dbt: argv });
      assert.deepEqual(splitArgv(argv, []), { own: [], dbt: argv });
    }),
    { numRuns: 1000 },
  );
});

test("nothing throws, and what is not taken stays in order", () => {
  const token = fc.oneof(dbtToken, fc.constantFrom("--server-url", "--detach", "--detach=x", "--env=", "--env"));
  fc.assert(
    fc.property(fc.array(token), (argv) => {
      const { dbt } = splitArgv(argv, OWN);
      let at = 0;
      for (const one of dbt) {
        at = argv.indexOf(one, at) + 1;
        assert.notEqual(at, 0);
      }
    }),
    { numRuns: 1000 },
  );
});

/** Places in front of which an own option may stand: not behind `--`, not where a value is due. */
function legalPlaces(argv: readonly string[]): number[] {
  const parsed = parseDbtArgv(argv);
  const separator = parsed.parts.find(({ kind }) => kind === "separator")?.start ?? argv.length;
  const places: number[] = [];
  for (let at = 0; at <= separator; at += 1) {
    const valueDue = parsed.options.some(
      ({ option, start, attachedTo }) => option.arity !== "flag" && attachedTo === null && at === start + 1,
    );
    if (!valueDue) places.push(at);
  }
  return places;
}

const ownTokens = fc.constantFrom<readonly string[]>(
  ["--detach"],
  ["--server-url", "http://127.0.0.1:1"],
  ["--server-url=--detach"],
  ["--env", ""],
  ["--env=A"],
);

test("own options put in at any legal places are all found, and the rest is as before", () => {
  fc.assert(
    fc.property(
      fc.array(dbtToken),
      fc.array(fc.tuple(fc.nat(), ownTokens), { minLength: 1, maxLength: 4 }),
      (argv, insertions) => {
        const places = legalPlaces(argv);
        const placed = insertions
          .map(([number, tokens]) => ({ at: places[number % places.length] ?? 0, tokens }))
          .sort((a, b) => a.at - b.at);
        const typed: string[] = [];
        for (let at = 0; at <= argv.length; at += 1) {
          for (const { tokens } of placed.filter((one) => one.at === at)) typed.push(...tokens);
          const token = argv[at];
          if (token !== undefined) typed.push(token);
        }
        const split = splitArgv(typed, OWN);
        assert.deepEqual(split.dbt, argv);
        assert.equal(split.error, undefined);
        assert.deepEqual(
          split.own.map(({ name, value }) => [name, value]),
          placed.map(({ tokens: [first = "", second] }) => {
            const equals = first.indexOf("=");
            return equals === -1 ? [first, second ?? true] : [first.slice(0, equals), first.slice(equals + 1)];
          }),
        );
      },
    ),
    { numRuns: 2000 },
  );
});
