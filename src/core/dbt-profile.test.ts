import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import { parseDbtArgv } from "./dbt-argv.ts";
import { profileChoice, profileInUse, trimProfile } from "./dbt-profile.ts";

const PROFILES: unknown = parse(
  `
config:
  send_anonymous_usage_stats: false
shop:
  target: "{{ env_var('SHOP_TARGET', 'dev') }}"
  outputs:
    dev: &dev {type: duckdb, path: dev.duckdb, password: one}
    prod: {<<: *dev, password: two}
    broken: 1
bare:
  outputs:
    default: {type: duckdb}
unsure:
  target: "{{ var('t') }}"
  outputs: {dev: {type: duckdb}}
empty:
`,
  { merge: true },
);

const project = { name: "x", profile: "shop" };

/** typed, environment, project → `profile/target`, or the problem. */
const CHOICES: readonly [typed: string, env: Record<string, string>, project: unknown, expected: string][] = [
  ["run", {}, project, "shop/dev"],
  ["run", { SHOP_TARGET: "prod" }, project, "shop/prod"],
  ["run", { DBT_TARGET: "prod" }, project, "shop/prod"],
  ["run", { DBT_ENGINE_TARGET: "prod", DBT_TARGET: "dev" }, project, "shop/prod"],
  ["run", { DBT_ENGINE_TARGET: "", DBT_TARGET: "prod" }, project, "shop/prod"],
  ["-t dev run", { DBT_TARGET: "prod" }, project, "shop/dev"],
  ["run --profile bare", { DBT_PROFILE: "shop" }, project, "bare/default"],
  ["run", { DBT_PROFILE: "bare" }, project, "bare/default"],
  ["run", { P: "bare" }, { profile: "{{ env_var('P') }}" }, "bare/default"],
  ["run --profile bare", {}, undefined, "bare/default"],
  ["run", {}, { profile: "{{ env_var('P') }}" }, "profile_not_rendered undefined/undefined"],
  ["run", {}, { name: "x" }, "no_profile undefined/undefined"],
  ["run", {}, null, "no_profile undefined/undefined"],
  ["run --profile nope -t x", {}, project, "profile_not_found nope/x"],
  ["run --profile constructor", {}, project, "profile_not_found constructor/undefined"],
  ["run --profile empty", {}, project, "profile_invalid empty/undefined"],
  ["run --profile unsure", {}, project, "target_not_rendered unsure/undefined"],
  ["run --profile unsure -t dev", {}, project, "unsure/dev"],
  ["run -t nope", {}, project, "target_not_found shop/nope"],
  ["run -t broken", {}, project, "profile_invalid shop/broken"],
];

for (const [typed, env, dbtProject, expected] of CHOICES) {
  test(`dbt ${typed} with ${JSON.stringify(env)} → ${expected}`, () => {
    const choice = profileChoice(parseDbtArgv(typed.split(" ")), env);
    const used = profileInUse({ project: dbtProject, profiles: PROFILES, choice, env });
    const names = `${used.profileName}/${used.targetName}`;
    assert.equal(used.problem === null ? names : `${used.problem} ${names}`, expected);
  });
}

test("profiles that are no mapping are a problem, not an exception", () => {
  for (const profiles of [undefined, null, 1, "x", [], {}]) {
    const used = profileInUse({ project, profiles, choice: { profile: undefined, target: undefined }, env: {} });
    assert.equal(used.problem, "profile_not_found");
    assert.deepEqual(trimProfile(profiles, "shop", "dev"), {});
  }
});

test("only the profile in use is sent, its other targets as names", () => {
  assert.deepEqual(trimProfile(PROFILES, "shop", "prod"), {
    config: { send_anonymous_usage_stats: false },
    shop: {
      target: "{{ env_var('SHOP_TARGET', 'dev') }}",
      outputs: { dev: {}, prod: { type: "duckdb", path: "dev.duckdb", password: "two" }, broken: {} },
    },
  });
  const { config, ...others } = trimProfile(PROFILES, "nope", "x");
  assert.deepEqual(config, { send_anonymous_usage_stats: false });
  assert.ok(
    Object.keys(others).includes("shop") && Object.values(others).every((other) => JSON.stringify(other) === "{}"),
  );
  const whole = trimProfile(PROFILES, "unsure", undefined);
  assert.deepEqual(whole["unsure"], { target: "{{ var('t') }}", outputs: { dev: { type: "duckdb" } } });
});
