import assert from "node:assert/strict";
import { test } from "node:test";
import { AppError } from "../core/errors.ts";
import { isLoopbackAuthority, isLoopbackHost, isOwnOrigin } from "./loopback.ts";
import { parseServerCommand, serverHelp } from "./options.ts";

const around = { cwd: "/srv", home: "/home/ada", cores: 8 };
const parse = (line: string, env: Record<string, string> = {}) =>
  parseServerCommand(line.split(" ").filter(Boolean), env, around);
const settings = (line: string, env?: Record<string, string>) => {
  const command = parse(line, env);
  assert.ok(command.kind === "serve" || command.kind === "gc");
  return command.settings;
};

test("defaults", () => {
  const { host, port, auth, dataDir, maxRuns, retentionMs, runTimeoutMs } = settings("");
  assert.deepEqual(
    { host, port, auth, dataDir, maxRuns, retentionMs, runTimeoutMs },
    {
      host: "127.0.0.1",
      port: 8001,
      auth: "local",
      dataDir: "/home/ada/.local/share/dbt-remote",
      maxRuns: 8,
      retentionMs: 30 * 86_400_000,
      runTimeoutMs: null,
    },
  );
  assert.equal(settings("", { XDG_DATA_HOME: "/data" }).dataDir, "/data/dbt-remote");
});

test("flags, environment, subcommand", () => {
  assert.equal(settings("--port 0 --data-dir ./d", { PORT: "9" }).port, 0);
  assert.equal(settings("--data-dir ./d").dataDir, "/srv/d");
  assert.equal(settings("--python .venv/bin/python").python, "/srv/.venv/bin/python");
  assert.equal(settings("--python python3.12").python, "python3.12");
  assert.equal(settings("--profiles-dir ~/.dbt").profilesDir, "/home/ada/.dbt");
  assert.deepEqual(settings("--job-env A --job-env B,C").jobEnv, ["A", "B", "C"]);
  assert.equal(settings("--run-timeout 2h").runTimeoutMs, 7_200_000);
  assert.deepEqual(parse("--help"), { kind: "help" });
  assert.deepEqual(parse("--version"), { kind: "version" });
  const gc = parse("gc --dry-run");
  assert.ok(gc.kind === "gc" && gc.dryRun);
});

const CLOUD = { PROJECT_ID: "p", BUCKET_NAME: "b", LOCATION: "europe-west1" };

test("Google Cloud: where State is, and which Jobs there are", () => {
  assert.equal(settings("", CLOUD).google, undefined);
  assert.deepEqual(settings("--state gcp", CLOUD).google, {
    ...{ projectId: "p", bucket: "b", database: "(default)", kmsKeyName: undefined, jobs: undefined },
  });
  const plain = settings("--state gcp --executor cloud-run", CLOUD);
  assert.equal(plain.maxRuns, 100);
  assert.deepEqual(plain.google?.jobs, {
    location: "europe-west1",
    profiles: [{ name: "default", job: "dbt-remote" }],
    readsLocally: false,
    manage: undefined,
  });
  const { google } = settings(
    "--state gcp --executor cloud-run --executor-reads local --manage-job --docker-image i --job-profile small,big=dbt-big:cpu=4:memory=8Gi:timeout=12h:service-account=a@b",
    CLOUD,
  );
  assert.equal(google?.jobs?.readsLocally, true);
  assert.equal(google?.jobs?.manage?.taskTimeoutMs, 6 * 3_600_000);
  assert.deepEqual(google?.jobs?.profiles, [
    { name: "small", job: "dbt-remote-small" },
    { name: "big", job: "dbt-big", cpu: "4", memory: "8Gi", timeoutMs: 12 * 3_600_000, serviceAccount: "a@b" },
  ]);
});

test("what cannot be is refused with the next step", () => {
  const refused: [string, Record<string, string>, RegExp][] = [
    ["--host 0.0.0.0", {}, /has to be said.*--auth token/s],
    ["--host 0.0.0.0 --auth local", {}, /loopback address only/],
    ["--host 0.0.0.0 --auth none", {}, /loopback address only/],
    ["--auth token", {}, /DBT_SERVER_TOKEN is not set/],
    ["--auth token", { DBT_SERVER_TOKEN: "short" }, /16 or more/],
    ["--executor cloud-run", {}, /cloud-run needs --state gcp.*PROJECT_ID and BUCKET_NAME/s],
    ["--state gcp", {}, /needs PROJECT_ID.*export PROJECT_ID=/s],
    ["--state gcp", { PROJECT_ID: "p" }, /needs BUCKET_NAME/],
    ["--state gcp --executor cloud-run", { PROJECT_ID: "p", BUCKET_NAME: "b" }, /cloud-run needs LOCATION/],
    ["--state gcp --executor cloud-run --manage-job", CLOUD, /--manage-job needs DOCKER_IMAGE/],
    ["--job-profile a=b=c", {}, /of --job-profile is not a list of job profiles/],
    ["--job-profile a:cpu=lots", {}, /is not a list of job profiles/],
    ["--job-profile a --job-profile a", {}, /is not a list of job profiles/],
    ["--port 99999", {}, /"99999" of --port/],
    ["--frobnicate", {}, /"--frobnicate".*--help/s],
    ["serve", {}, /"serve"/],
    ["gc now", {}, /"now"/],
  ];
  for (const [line, env, pattern] of refused) {
    assert.throws(
      () => parse(line, env),
      (error) => error instanceof AppError && pattern.test(`${error.message}\n${error.hint}`),
      line,
    );
  }
  const token = "0123456789abcdef";
  assert.equal(settings("--host 0.0.0.0 --auth token", { DBT_SERVER_TOKEN: token }).auth, "token");
});

test("help names every flag and variable", () => {
  for (const word of ["--host", "--max-runs", "--retention-days", "DBT_SERVER_JOB_ENV", "DBT_SERVER_TOKEN", "gc"]) {
    assert.ok(serverHelp().includes(word), word);
  }
});

test("loopback names", () => {
  for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "::1"]) assert.ok(isLoopbackHost(host), host);
  for (const host of ["0.0.0.0", "::", "localhost.evil.org", "127.evil.org"]) assert.ok(!isLoopbackHost(host), host);
  for (const good of ["localhost:80", "LOCALHOST", "127.0.0.1:80", "[::1]:80"]) {
    assert.ok(isLoopbackAuthority(good, 80), good);
  }
  for (const bad of [
    "",
    undefined,
    "evil.org:80",
    "localhost:81",
    "localhost:80:80",
    "::1:80",
    "127.0.0.1.evil.org",
    "a@localhost:80",
  ]) {
    assert.ok(!isLoopbackAuthority(bad, 80), bad);
  }
  assert.ok(isOwnOrigin("http://localhost:8001", 8001));
  for (const bad of ["null", "https://localhost:8001", "http://evil.org:8001", "http://localhost", ""]) {
    assert.ok(!isOwnOrigin(bad, 8001), bad);
  }
});
