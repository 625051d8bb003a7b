import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { createClient } from "../../src/api/client.ts";
import { cli, startServer, type TestServer, tempFolder } from "../harness.ts";
import { tokenOf } from "./gated.ts";
import { record } from "./recorder.ts";
import { DUCKDB_PROFILE, filesIn, projectYaml, writeFiles } from "./written-project.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map((server) => server.stop())));

/** Offers some of its own environment to dbt, and has more that dbt must not see. */
const openServer = memo(async () => {
  const env = {
    OFFERED: "offered",
    SERVERS_OWN: "x",
    DBT_ENV_SECRET_DB: "of_server",
    DBT_SERVER_TOKEN: "t".repeat(20),
  };
  const server = await startServer({
    args: ["--job-env", "OFFERED,DBT_ENV_SECRET_DB"],
    env,
    home: tempFolder("home"),
  });
  servers.push(server);
  return server;
});

function memo<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

const PROFILES = `
base: &base
  type: duckdb
  threads: 1
p:
  target: "{{ env_var('P_TARGET', 'dev') }}"
  outputs:
    dev:
      <<: *base
      path: "{{ env_var('P_PATH', 'p') }}.duckdb"
      settings: {application: "{{ 'a' ~ 'b' }}", flag: yes, code: 0123}
    prod:
      <<: *base
      path: "{{ env_var('PROD_ONLY') }}.duckdb"
      password: of-production
other:
  outputs: {dev: {type: duckdb, path: not-this-one.duckdb}}
`;

test("names that project and profile use travel with their values, and nothing else of the environment", async () => {
  const project = writeFiles({
    "dbt_project.yml": projectYaml(`vars: {a: "{{ env_var('IN_PROJECT', '') }}"}\n`),
    "profiles.yml": PROFILES,
    "models/m.sql": `select '{{ env_var("IN_MODEL") }}', '{{ env_var('UNSET_HERE', 'x') }}', '{{ env_var("HOME") }}'`,
    "models/m.yml": `models: [{name: m, description: "{{ env_var('IN_YAML') }}"}]`,
    "macros/n.sql": `{% macro n() %}{{ env_var('IN_' ~ 'PIECES') }}{{ env_var("DBT_ENV_SECRET_USED") }}{% endmacro %}`,
    ".env": "DOTENV_VALUE=from-file\nIN_YAML=not-this\n",
    "dbt_remote.yml": "env: [FROM_FILE]\nsecret_names: [LISTED]\n",
  });
  const env = {
    ...{ IN_PROJECT: "1", IN_MODEL: "2", IN_YAML: "3", IN_PIECES: "4", FROM_FILE: "5", ASKED: "6", P_PATH: "7" },
    ...{ DBT_ENV_CUSTOM_ENV_TEAM: "core", TZ: "Asia/Tokyo", PROD_ONLY: "prod", UNRELATED: "unrelated-value" },
    ...{ DBT_ENV_SECRET_USED: "planted-secret", LISTED: "listed-secret", DBT_REMOTE_WORKSPACE: "w" },
    ...{ PYTHONPATH: "/python-path", LD_LIBRARY_PATH: "/ld-path", DBT_INDIRECT_SELECTION: "cautious" },
  };
  const { envelope, stderr, sent, request } = await record(
    [..."run --env ASKED --env PATH --env DBT_REMOTE_WORKSPACE --env NOT_SET --env LISTED".split(" ")],
    { cwd: project, env },
  );
  assert.deepEqual(envelope.env, {
    ...{ IN_PROJECT: "1", IN_MODEL: "2", IN_YAML: "3", ASKED: "6", P_PATH: "7" },
    ...{ DBT_ENV_CUSTOM_ENV_TEAM: "core", TZ: "Asia/Tokyo", DBT_INDIRECT_SELECTION: "cautious" },
    DBT_SEND_ANONYMOUS_USAGE_STATS: "false",
  });
  assert.equal(request.workspace?.name, "w");
  for (const text of [
    "planted-secret",
    "listed-secret",
    "unrelated-value",
    "/python-path",
    "/ld-path",
    "of-production",
  ])
    assert.ok(!sent.includes(text), text);
  assert.match(stderr, /PATH is never sent to a run/);
  assert.match(stderr, /DBT_REMOTE_WORKSPACE is never sent to a run/);
  assert.match(stderr, /NOT_SET is to be sent, but it is not set here/);
});

test("the profile in use travels: anchors expanded, Jinja as written, other targets by name only", async () => {
  const project = writeFiles({
    "dbt_project.yml": "name: p\nprofile: p\n",
    "profiles.yml": `config: {use_colors: false}\n${PROFILES}`,
    "dbt_remote.yml": "env: [FROM_FILE]\n",
  });
  const { envelope } = await record(["parse"], { cwd: project, env: { FROM_FILE: "1" } });
  assert.equal(envelope.env?.["FROM_FILE"], "1");
  const text = envelope.profiles ?? "";
  for (const line of [
    /path: "\{\{ env_var\('P_PATH', 'p'\) \}\}\.duckdb"/,
    /target: "\{\{ env_var\('P_TARGET', 'dev'\) \}\}"/,
    /type: "?duckdb"?/,
    /threads: 1$/m,
    /flag: yes$/m,
    /code: 0123$/m,
    /application: "\{\{ 'a' ~ 'b' \}\}"/,
    /prod: \{\}/,
    /^config:/m,
  ])
    assert.match(text, line);
  assert.doesNotMatch(text, /PROD_ONLY|of-production|not-this-one|&base|\*base/);

  const prod = await record(["parse"], { cwd: project, env: { P_TARGET: "prod", PROD_ONLY: "there" } });
  assert.match(prod.envelope.profiles ?? "", /of-production/);
  assert.match(prod.envelope.profiles ?? "", /dev: \{\}/);
  assert.deepEqual(prod.envelope.env?.["PROD_ONLY"], "there");
});

test("secrets and key files are sent only where they are asked for by name", async () => {
  const home = tempFolder("home");
  const project = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": `
p:
  target: dev
  outputs:
    dev: {type: bigquery, method: service-account, project: x, dataset: y, keyfile: ~/key.json, user: "{{ env_var('DBT_ENV_SECRET_A') }}"}
`,
  });
  writeFileSync(join(home, "key.json"), `{"private_key": "planted-key"}`);
  const env = { DBT_ENV_SECRET_A: "secret-a", LISTED: "secret-l" };
  const kept = await record(["run", "--secret-name", "LISTED", "--env", "LISTED"], { cwd: project, env, home });
  assert.deepEqual(kept.envelope.files, []);
  assert.match(kept.stderr, /keyfile is the file ~\/key\.json, which is not sent \(--send-keyfile sends it\)/);
  assert.ok(!/secret-a|secret-l|planted-key/.test(kept.sent));

  const args = ["run", "--send-keyfile", "--send-secret", "DBT_ENV_SECRET_A", "--send-secret", "LISTED"];
  const { envelope } = await record(args, { cwd: project, env, home });
  assert.equal(envelope.env?.["DBT_ENV_SECRET_A"], "secret-a");
  assert.equal(envelope.env?.["LISTED"], "secret-l");
  assert.deepEqual(envelope.secretNames, ["LISTED"]);
  const [file] = envelope.files ?? [];
  assert.match(Buffer.from(file?.contentBase64 ?? "", "base64").toString(), /planted-key/);
  assert.match(envelope.profiles ?? "", new RegExp(`keyfile: "@profiles/${file?.name}"`));
});

const SHOW = `
{% macro show() %}
  {% for name in ['SENT', 'DOTENV_ONLY', 'SERVERS_OWN', 'OFFERED', 'HOME_MARK', 'PLANTED', 'TZ', 'DBT_SERVER_DATA_DIR', 'DBT_SERVER_TOKEN'] %}
    {% do print(name ~ '=' ~ env_var(name, '-')) %}
  {% endfor %}
  {% do print('home is ' ~ env_var('HOME')) %}
  {% do print('path is ' ~ env_var('PATH')) %}
  {% do print('custom ' ~ env_var('DBT_ENV_CUSTOM_ENV_TEAM', '-')) %}
{% endmacro %}
{% macro built() %}{% do print('built ' ~ env_var('BUILT_' ~ 'NAME')) %}{% endmacro %}
`;

test("dbt sees what was sent, an allow-list of the server's environment, and the server's secrets first", async () => {
  const server = await openServer();
  const project = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": DUCKDB_PROFILE.replace("path: p.duckdb", `path: "db_{{ env_var('DBT_ENV_SECRET_DB') }}.duckdb"`),
    "macros/show.sql": SHOW,
    "models/m.sql": "select 1 as id",
    ".env": "DOTENV_ONLY=from-file\n",
  });
  const home = tempFolder("home");
  const env = {
    ...{ SENT: "a b\n$c", PATH: `${process.env["PATH"]}:/of-the-client`, DBT_ENV_SECRET_DB: "of_client" },
    ...{ TZ: "Asia/Tokyo", DBT_ENV_CUSTOM_ENV_TEAM: "core", OFFERED: "clients-value" },
  };
  const options = { cwd: project, server, home, env };
  const send = ["--env", "SENT", "--env", "HOME", "--env", "PATH", "--send-secret", "DBT_ENV_SECRET_DB"];
  const shown = await cli(["run-operation", "show", ...send], options);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^SENT=a b\n\$c$/m);
  for (const absent of ["DOTENV_ONLY", "SERVERS_OWN", "PLANTED", "DBT_SERVER_DATA_DIR", "DBT_SERVER_TOKEN"])
    assert.match(shown.stdout, new RegExp(`^${absent}=-$`, "m"));
  assert.match(shown.stdout, /^TZ=Asia\/Tokyo$/m);
  assert.match(shown.stdout, /^custom core$/m);
  assert.match(shown.stdout, new RegExp(`^home is ${server.home}$`, "m"));
  assert.doesNotMatch(shown.stdout, /of-the-client/);
  const files = filesIn(server.dataDir);
  assert.ok(
    files.some((file) => file.endsWith("/db_of_server.duckdb")),
    "the server's own secret goes first",
  );
  const said = `${shown.stderr.match(/^.*db_.*\.duckdb.*$/gm)?.join("\n")}`;
  assert.match(said, /^the profile's db_\S+ is the file \/\S+$/, "said once, by the job");
  const manifest = JSON.parse(readFileSync(join(project, "target", "manifest.json"), "utf8"));
  assert.deepEqual(manifest.metadata.env, { TEAM: "core" });
  const client = createClient({
    ...{ baseUrl: server.url, token: tokenOf(server), clientId: "x", userLabel: "x", fetch },
  });
  const { runs } = await client.runs({});
  assert.ok(runs[0]?.envNames.includes("SENT") && !runs[0].envNames.includes("HOME"));

  const missing = await cli(["run-operation", "built"], { ...options, env: { ...env, BUILT_NAME: "x" } });
  assert.equal(missing.code, 1, missing.stderr);
  assert.match(missing.stdout, /Env var required but not provided: 'BUILT_NAME'/);
  assert.match(missing.stderr, /BUILT_NAME is set here: send it with --env BUILT_NAME/);
});

test("dbt itself says that a target is not in the profile, and knows the others by name", async () => {
  const server = await openServer();
  const project = writeFiles({ "dbt_project.yml": projectYaml(), "profiles.yml": PROFILES });
  const wrong = await cli(["parse", "--target", "nope"], { cwd: project, server });
  assert.equal(wrong.code, 2);
  assert.match(
    wrong.stdout,
    /does not have a target named 'nope'.*valid target names for this profile are:\s+- dev\s+- prod/s,
  );
  const none = await cli(["parse", "--profile", "nobody"], { cwd: project, server });
  assert.equal(none.code, 2);
  assert.match(none.stdout, /Could not find profile named 'nobody'/);
});

test("a profile that lives on the server is used and said; the client needs none", async () => {
  const profiles = writeFiles(
    { "profiles.yml": DUCKDB_PROFILE.replace("p.duckdb", "of_server.duckdb") },
    tempFolder("profiles"),
  );
  const server = await startServer({ home: tempFolder("home"), args: ["--profiles-dir", profiles] });
  servers.push(server);
  const project = writeFiles({
    "dbt_project.yml": projectYaml(),
    "macros/m.sql": "{% macro where() %}{% do print(target.path) %}{% endmacro %}",
  });
  mkdirSync(join(project, "models"));
  const { code, stdout, stderr } = await cli(["run-operation", "where"], { cwd: project, server });
  assert.equal(code, 0, stderr + stdout);
  assert.match(stdout, /of_server\.duckdb/);
  assert.match(stderr, /using the profile that lives on the server/);
});
