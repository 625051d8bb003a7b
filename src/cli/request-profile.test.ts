import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { parse, parseDocument } from "yaml";
import { AppError } from "../core/errors.ts";
import { type ProfileOptions, travellingProfile } from "./request-profile.ts";
import { verbatimTree, writeVerbatim } from "./yaml-verbatim.ts";

const folder = mkdtempSync(path.join(tmpdir(), "profile-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function profile(text: string, more: Partial<ProfileOptions> = {}) {
  writeFileSync(path.join(folder, "profiles.yml"), text);
  return travellingProfile({
    profilesDir: folder,
    projectDir: folder,
    project: { profile: "shop" },
    choice: { profile: undefined, target: undefined },
    env: {},
    home: "/home/ada",
    sendKeyfile: false,
    ...more,
  });
}

const SHOP = `
base: &base
  type: postgres
  port: 5432
  password: "{{ env_var('PG_PASS') }}"
other:
  outputs: { dev: { type: duckdb, password: hunter2 } }
shop:
  target: dev
  outputs:
    dev:
      <<: *base
      host: h
      threads: 0o4
      schema: yes
    prod:
      <<: *base
      password: prod-secret
`;

test("only the profile and target in use travel, anchors expanded and Jinja as written", () => {
  const { text, envNames } = profile(SHOP);
  assert.ok(text !== null && !/hunter2|prod-secret|other|base/.test(text), text ?? "");
  assert.deepEqual(envNames, ["PG_PASS"]);
  assert.deepEqual(parse(text).shop.outputs.dev, {
    type: "postgres",
    port: 5432,
    password: "{{ env_var('PG_PASS') }}",
    host: "h",
    threads: 4,
    schema: "yes",
  });
  assert.deepEqual(parse(text).shop.outputs.prod, {});
  assert.match(text, /schema: yes$/m);
});

test("plain scalars stay as they were typed", () => {
  const source = `a: 0123\nb: "0123"\nc: 1e3\nd: ~\ne:\nf: 'it''s'\ng: |\n  two\n  lines\nh: [1, {x: no}]\ni: !!str 5\n"k 1": 12:30:00\n`;
  const document = parseDocument(source, { version: "1.1", merge: true });
  assert.equal(
    writeVerbatim(verbatimTree(document)),
    `\na: 0123\nb: "0123"\nc: 1e3\nd: ~\ne: null\nf: "it's"\ng: "two\\nlines\\n"\nh: \n  - 1\n  - \n    x: no\ni: "5"\n"k 1": 12:30:00`,
  );
});

test("without a profiles.yml, and for an unknown profile, dbt itself decides", () => {
  rmSync(path.join(folder, "profiles.yml"), { force: true });
  const none = travellingProfile({
    profilesDir: path.join(folder, "absent"),
    projectDir: folder,
    project: {},
    choice: { profile: undefined, target: undefined },
    env: {},
    home: "/",
    sendKeyfile: false,
  });
  assert.equal(none.text, null);
  assert.equal(
    profile(SHOP, { choice: { profile: "nope", target: undefined } }).text,
    "base: {}\nother: {}\nshop: {}\n",
  );
  const { text } = profile(SHOP, { choice: { profile: undefined, target: "nope" } });
  assert.deepEqual(parse(text ?? "").shop.outputs, { dev: {}, prod: {} });
});

test("broken YAML and a name that only dbt can render are errors that say so", () => {
  const fails = (work: () => unknown, message: RegExp) =>
    assert.throws(
      work,
      (error) => error instanceof AppError && error.code === "bad_profile" && message.test(error.message),
    );
  fails(() => profile("a: [1"), /is no YAML/);
  fails(() => profile(SHOP, { project: { profile: "{{ var('p') }}" } }), /can't be told/);
});

test("key files are said, and sent only when asked for", () => {
  const key = path.join(folder, "key.json");
  writeFileSync(key, '{"private_key": "x"}');
  const text = `shop:\n  target: dev\n  outputs:\n    dev:\n      type: bigquery\n      keyfile: ${key}\n`;
  const kept = profile(text);
  assert.match(kept.notices.join(), /keyfile is the file .*key\.json, which is not sent \(--send-keyfile/);
  assert.deepEqual(kept.files, []);
  const sent = profile(text, { sendKeyfile: true });
  assert.deepEqual(sent.notices, []);
  assert.equal(sent.files[0]?.name, "0-key.json");
  assert.match(sent.text ?? "", /keyfile: "@profiles\/0-key\.json"/);
});
