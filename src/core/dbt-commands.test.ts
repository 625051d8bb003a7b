import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { requirePart } from "../../test/require.ts";
import { parseDbtArgv } from "./dbt-argv.ts";
import { ALL_OPTIONS, DBT_COMMANDS, DBT_ROOT, findCommand } from "./dbt-commands.ts";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const python = resolve(root, process.env["DBT_REMOTE_TEST_PYTHON"] ?? ".venv/bin/python");

interface ClickOption {
  names: string[];
  negatives: string[];
  arity: string;
  env: string[];
  isPath: boolean;
  nargs: number;
}
interface ClickCommand {
  words: string[];
  group: boolean;
  options: ClickOption[];
  arguments: string[];
}
interface ClickParse {
  words: string[];
  error?: string;
  levels?: { name: string; value: unknown }[][];
  positionals?: string[];
}
interface ClickAnswer {
  version: string;
  commands: ClickCommand[];
  parsed: ClickParse[];
}

/** Chosen for what they might trip over; click says what each means. */
const TRICKY: readonly (readonly string[])[] = [
  [],
  ["run"],
  ["--version"],
  ["run", "-h"],
  ["--debug", "run", "--no-debug"],
  ["-xd", "run", "-xqf"],
  ["run", "-xt", "dev"],
  ["run", "-xtdev"],
  ["run", "-tdev", "-t", "-x"],
  ["run", "-t=dev"],
  ["run", "--target=", "--state=a=b"],
  ["run", "--vars", "--debug", "--debug"],
  ["run", "--vars", '{"a": "$x\n\'y\'"}'],
  ["run", "--vars", "--"],
  ["run", "--select", "a", "b", "", "c", "-x", "d"],
  ["run", "--select=a b", "c", "--exclude", "--debug", "e"],
  ["run", "-sa", "b", "-m", "c", "--model", "d", "--models=e"],
  ["run", "--select", "a", "-", "b"],
  ["run", "--select", "a", "--", "b", "--debug"],
  ["run", "-select", "a"],
  ["run", "-xs", "a", "b"],
  ["list", "-s", "a", "-m", "b", "--output-keys", "name", "x y", "--output", "json"],
  ["ls", "--resource-type", "model", "test", "--resource-types", "seed"],
  ["--", "run", "--select", "a", "b"],
  ["-q", "--", "docs", "--", "generate", "--no-compile"],
  ["docs", "--debug", "generate", "--static"],
  ["docs"],
  ["source", "snapshot-freshness", "-o", "out.json"],
  ["source", "-x", "freshness", "-qoout.json"],
  ["run-operation", "macro", "--args", "{a: 1}"],
  ["run-operation", "--args", "-x", "--", "-macro"],
  ["init", "-s", "name"],
  ["init", "name", "-st", "dev"],
  ["show", "--inline", "select 1 -- x", "--limit=-1"],
  ["show", "--limit", "-1"],
  ["run", "--deprecated-no-print", "--no-write-json", "--no-use-colors"],
  ["run", "-V"],
  ["--profile", "run", "run"],
  ["run", "--threads", "4", "positional"],
  // dbt refuses these
  ["run", "--debug=true"],
  ["run", "--state"],
  ["run", "--unknown", "x"],
  ["run", "-xz"],
  ["run", "--sel", "a"],
  ["nonsense", "--debug"],
  ["--", "--debug"],
];

const VOCABULARY = [
  ...["run", "docs", "generate", "source", "freshness", "ls", "init", "a", "b c", "", "-", "--", "x=y"],
  ...["--debug", "--no-debug", "-d", "-x", "-xd", "-t", "-tdev", "-xt", "-t=dev", "--target", "--target=dev"],
  ...["--select", "--select=a b", "-s", "-sa", "-xs", "-m", "--exclude", "--vars", "--vars={}", "--state", "-o", "-f"],
];

let answer: ClickAnswer | undefined;
let argvs: readonly (readonly string[])[] = [];
let reason = "";

before(async () => {
  if (!existsSync(python)) {
    reason = `${python} does not exist; set DBT_REMOTE_TEST_PYTHON`;
    return;
  }
  const random = fc.array(fc.constantFrom(...VOCABULARY), { maxLength: 8 });
  argvs = [...TRICKY, ...fc.sample(random, { numRuns: 2000, seed: 20 })];
  const child = spawn(python, [resolve(root, "test/fixtures/click_parse.py")], { stdio: "pipe" });
  const failed = new Promise<void>((_, reject) => child.once("error", reject));
  child.stdin.end(JSON.stringify(argvs));
  const [out, error] = await Promise.race([
    Promise.all([text(child.stdout), text(child.stderr)]),
    failed.then(() => ["", ""] as const),
  ]);
  if (/No module named '(?:dbt|click)/.test(error)) {
    reason = `${python} has no dbt`;
    return;
  }
  assert.notEqual(out, "", error);
  answer = JSON.parse(out) as ClickAnswer;
});

test("the table has every command and option of the installed dbt", (context) => {
  if (!requirePart(context, "a Python with dbt", answer !== undefined, reason)) return;
  const problems: string[] = [];
  for (const theirs of answer?.commands ?? []) {
    const typed = ["dbt", ...theirs.words].join(" ");
    const ours = findCommand(theirs.words);
    if (ours === undefined) {
      problems.push(`${typed}: unknown`);
      continue;
    }
    if (ours.group !== theirs.group) problems.push(`${typed}: group`);
    if ((ours.argument === null) !== (theirs.arguments.length === 0)) problems.push(`${typed}: argument`);
    for (const option of theirs.options) {
      const name = `${typed} ${option.names[0] ?? ""}`;
      const same = ours.options.find(({ names }) => names.includes(option.names[0] ?? ""));
      if (same === undefined) {
        problems.push(`${name}: unknown`);
        continue;
      }
      if (same.arity !== option.arity) problems.push(`${name}: ${option.arity}, not ${same.arity}`);
      if (option.arity === "value" && option.nargs !== 1) problems.push(`${name}: nargs ${option.nargs}`);
      if ([...same.names].sort().join() !== [...option.names].sort().join())
        problems.push(`${name}: names ${option.names}`);
      if (same.negatives.join() !== option.negatives.join()) problems.push(`${name}: negatives ${option.negatives}`);
      const missing = option.env.filter((one) => !same.env.includes(one));
      if (missing.length > 0 || (option.env.length === 0 && same.env.length > 0)) problems.push(`${name}: ${missing}`);
      if (option.isPath !== (same.path !== null)) problems.push(`${name}: path`);
    }
  }
  assert.deepEqual(problems, []);
});

/** Our reading of an argv in the words of click's parser. */
function asClick(argv: readonly string[]): ClickParse {
  const parsed = parseDbtArgv(argv);
  const levels = Array.from({ length: parsed.words.length + 1 }, (_, level) => {
    const values = new Map<string, unknown>();
    for (const { option, negated, values: given } of parsed.options.filter((one) => one.level === level)) {
      const name = [...option.names].sort().join(" ");
      if (option.arity === "flag") values.set(name, !negated);
      else if (option.arity === "value") values.set(name, given[0]);
      else {
        const [first = "", ...rest] = given;
        const before = (values.get(name) as unknown[] | undefined) ?? [];
        values.set(name, [...before, [...first.split(" "), ...rest]]);
      }
    }
    return [...values].map(([name, value]) => ({ name, value }));
  });
  return { words: [...parsed.words], levels, positionals: parsed.positionals.map(({ value }) => value) };
}

test("an argv means what click says it means", (context) => {
  if (!requirePart(context, "a Python with dbt", answer !== undefined, reason)) return;
  const names = new Map<string, string>();
  let read = 0;
  for (const [index, theirs] of (answer?.parsed ?? []).entries()) {
    const argv = argvs[index] ?? [];
    const ours = asClick(argv);
    if (theirs.error !== undefined) continue;
    read += 1;
    for (const command of answer?.commands ?? []) {
      for (const option of command.options) names.set(option.names.join(), [...option.names].sort().join(" "));
    }
    const levels = (theirs.levels ?? []).map((level, depth) => {
      const command = (answer?.commands ?? []).find(
        ({ words }) => words.join(" ") === theirs.words.slice(0, depth).join(" "),
      );
      return level.map(({ name, value }) => {
        const option = command?.options.find((one) => one.names[0] === name);
        return { name: [...(option?.names ?? [name])].sort().join(" "), value };
      });
    });
    assert.deepEqual(ours, { words: theirs.words, levels, positionals: theirs.positionals }, JSON.stringify(argv));
  }
  assert.ok(read > 200, `click read only ${read} of ${argvs.length}`);
});

test("every option explains itself, and no name has two meanings within a command", () => {
  for (const option of ALL_OPTIONS) {
    assert.match(option.help, /^[A-Z].*\.$/, option.names[0]);
    assert.match(option.names[0] ?? "", /^--[a-z0-9-]+$/);
  }
  for (const command of [DBT_ROOT, ...DBT_COMMANDS]) {
    assert.match(command.help, /^[A-Z].*\.$/);
    const names = command.options.flatMap((option) => [...option.names, ...option.negatives]);
    assert.equal(new Set(names).size, names.length, command.verb);
  }
});
