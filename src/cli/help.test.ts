import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { CLI_OPTIONS, CLI_VERBS, optionsOf } from "../config/cli-options.ts";
import { ALL_OPTIONS, DBT_COMMANDS } from "../core/dbt-commands.ts";
import { completionScript, SHELLS } from "./completion.ts";
import { helpText } from "./help.ts";

test("help names every command, and every option where it can be used", () => {
  const root = helpText([], 100);
  for (const { words, group } of DBT_COMMANDS) if (!group) assert.ok(root.includes(words.join(" ")), words.join(" "));
  for (const verb of CLI_VERBS) {
    assert.ok(root.includes(`  ${verb} `), verb);
    const text = helpText([verb], 100);
    for (const [, { flag }] of optionsOf(verb)) assert.ok(flag === undefined || text.includes(flag), `${verb} ${flag}`);
  }
  const run = helpText(["run"], 100);
  assert.match(run, /--full-refresh/);
  assert.match(run, /--detach/);
  assert.match(helpText(["docs"], 100), /docs generate/);
  assert.match(helpText(["docs", "generate"], 100), /--no-compile/);
  assert.equal(helpText(["no-such-command"], 100), root);
});

test("no line of help is wider than the terminal, but for names that are", () => {
  for (const words of [[], ["run"], ["config"], ["artifacts"]]) {
    const names = Math.max(
      ...ALL_OPTIONS.map(({ names: each, negatives }) => [...each, ...negatives].join(", ").length),
    );
    for (const line of helpText(words, 80).split("\n")) assert.ok(line.length <= Math.max(80, names + 10), line);
  }
});

test("completion scripts are made for each shell; bash finds its way through the words", () => {
  for (const shell of SHELLS) assert.match(completionScript(shell), /source/);
  if (spawnSync("bash", ["--version"]).status !== 0) return;
  const complete = (...words: string[]) => {
    const line = words.map((word) => `'${word}'`).join(" ");
    const script = `${completionScript("bash")}\nCOMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _dbt_remote; echo "\${COMPREPLY[*]}"`;
    const { stdout, stderr } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
    assert.equal(stderr, "");
    return stdout.trim();
  };
  assert.equal(complete("dbt-remote", "art"), "artifacts");
  assert.equal(complete("dbt-remote", "docs", "gen"), "generate");
  assert.equal(complete("dbt-remote", "-t", "prod", "run", "--full"), "--full-refresh");
  assert.equal(complete("dbt-remote", "build", "--deta"), "--detach");
  assert.equal(complete("dbt-remote", "config", ""), `show get set delete ${flagsOf("config")}`);
});

const flagsOf = (verb: "config") =>
  Object.values(CLI_OPTIONS)
    .filter(({ scopes }) => (scopes as readonly string[]).includes(verb))
    .flatMap((spec) => ("flag" in spec ? [spec.flag] : []))
    .join(" ");
