import assert from "node:assert/strict";
import { test } from "node:test";
import { type EnvChoice, parseDotenv, travellingEnv } from "./request-env.ts";

const choose = (some: Partial<EnvChoice>) =>
  travellingEnv({ env: {}, dotenv: {}, used: [], flags: {}, asked: [], secretNames: [], sendSecret: [], ...some });

test("what is used is sent, and nothing else", () => {
  const env = { A: "1", B: "2", TZ: "UTC", DBT_ENV_CUSTOM_ENV_X: "x", PATH: "/bin", HOME: "/root", C: "3" };
  const { env: sent } = choose({ env, used: ["A", "PATH", "MISSING"], asked: ["C"], flags: { DBT_QUIET: "1" } });
  assert.deepEqual(sent, { DBT_QUIET: "1", A: "1", C: "3", TZ: "UTC", DBT_ENV_CUSTOM_ENV_X: "x" });
});

test("secrets stay unless they are named", () => {
  const env = { DBT_ENV_SECRET_A: "a", MINE: "m", OTHER: "o" };
  const used = ["DBT_ENV_SECRET_A", "MINE", "OTHER"];
  const kept = choose({ env, used, secretNames: ["MINE"] });
  assert.deepEqual(kept.env, { OTHER: "o" });
  assert.deepEqual(kept.withheld, ["DBT_ENV_SECRET_A", "MINE"]);
  const sent = choose({ env, used, secretNames: ["MINE"], sendSecret: ["MINE", "DBT_ENV_SECRET_A"] });
  assert.deepEqual(sent.env, { DBT_ENV_SECRET_A: "a", MINE: "m", OTHER: "o" });
  assert.deepEqual(sent.secretNames, ["MINE"]);
  assert.deepEqual(sent.withheld, []);
});

test("variables of dbt-remote and of the machine are never sent, even where they are asked for", () => {
  const env = { DBT_SERVER_TOKEN: "t", DBT_REMOTE_WORKSPACE: "w", LD_PRELOAD: "x", PYTHONPATH: "y" };
  const { env: sent, notices } = choose({ env, asked: Object.keys(env), sendSecret: ["DBT_SERVER_TOKEN"] });
  assert.deepEqual(sent, {});
  assert.match(notices.join("\n"), /LD_PRELOAD is never sent/);
});

test("of .env only what is in use travels", () => {
  const dotenv = { A: "1", UNUSED: "2", DBT_ENV_SECRET_S: "s", DBT_WARN_ERROR: "true", DBT_TARGET_PATH: "x" };
  const { dotenv: sent, withheld } = choose({ dotenv, used: ["A", "DBT_ENV_SECRET_S"] });
  assert.deepEqual(sent, { A: "1", DBT_WARN_ERROR: "true" });
  assert.deepEqual(withheld, ["DBT_ENV_SECRET_S"]);
});

test(".env files", () => {
  const text = `\uFEFF# comment\nA=1\nexport B = two words # note\nC='it''s'\nD="a\\nb" # x\nE=\nF='a\\'b'\nnot a line\nG=a#b\r\n`;
  assert.deepEqual(parseDotenv(text), { A: "1", B: "two words", C: "'it''s'", D: "a\nb", E: "", F: "a'b", G: "a#b" });
});
