/** Secrets that a careless project prints, logs and fails with are looked for in everything stored, sent and shown. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { copyProject, KEPT_WARM, startCli, startServer, tempFolder } from "../harness.ts";
import { apiOf, printed, runWhen, tokenOf } from "./gated.ts";

/** Blanks, quotes, a backslash and letters beyond ASCII: what JSON and Python write otherwise. */
const newSecret = (): string => `pl"an\\ted' ü${randomBytes(12).toString("hex")}`;

/** As it stands, and as JSON writes it, in JavaScript and in Python. */
function forms(secret: string): string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  const ascii = json.replace(/[\u0080-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
  // The hex part alone is in each form that anybody may think of.
  return [secret, json, ascii, secret.slice(-24)];
}

interface Place {
  readonly name: string;
  readonly bytes: Buffer;
}

function filesIn(folder: string): Place[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => lstatSync(path).isFile())
    .flatMap((path) => {
      const bytes = readFileSync(path);
      const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
      return [{ name: path, bytes }, ...(isPacked ? [{ name: `${path} (unpacked)`, bytes: gunzipSync(bytes) }] : [])];
    });
}

function leaksIn(places: readonly Place[], secrets: Readonly<Record<string, string>>): string[] {
  return places.flatMap(({ name, bytes }) =>
    Object.entries(secrets)
      .filter(([, secret]) => forms(secret).some((form) => bytes.includes(form)))
      .map(([which]) => `${which} in ${name}`),
  );
}

test("no secret value is stored, sent, shown or brought back", async (context) => {
  const secrets = { sent: newSecret(), listed: newSecret(), password: newSecret(), server: newSecret() };
  const home = tempFolder("home");
  const server = await startServer({
    home,
    args: ["--job-env", "DBT_ENV_SECRET_OF_SERVER"],
    env: { ...KEPT_WARM, DBT_ENV_SECRET_OF_SERVER: secrets.server },
  });
  context.after(() => server.stop());
  const project = copyProject("leaky");
  const profiles = tempFolder("profiles");
  const output = { type: "duckdb", path: "leaky.duckdb", schema: "main", threads: 1, password: secrets.password };
  writeFileSync(join(profiles, "profiles.yml"), JSON.stringify({ leaky: { target: "dev", outputs: { dev: output } } }));
  const halves = { password_begin: secrets.password.slice(0, 20), password_end: secrets.password.slice(20) };
  const env = {
    DBT_PROFILES_DIR: profiles,
    DBT_ENV_SECRET_SENT: secrets.sent,
    DBT_ENV_SECRET_WITHHELD: "never sent at all",
    LISTED_KEY: secrets.listed,
  };
  const send = ["--send-secret", "DBT_ENV_SECRET_SENT", "--secret-name", "LISTED_KEY", "--send-secret", "LISTED_KEY"];
  // The careless may also type one: dbt gets it, nobody else.
  const vars = ["--vars", JSON.stringify({ ...halves, typed: secrets.sent })];
  const start = (...args: string[]) => startCli([...args, ...vars, ...send], { cwd: project, env, server });

  const plain = start("build");
  await printed(plain, /Running with dbt/);
  // Waits behind the other: its envelope is kept meanwhile, sealed.
  const detached = await start("--log-format", "json", "--log-level", "debug", "build", "--detach").done;
  assert.equal(detached.code, 0, detached.stderr);
  const envelopes = join(server.dataDir, "envelopes");
  assert.ok(readdirSync(envelopes).length > 0);
  for (const name of readdirSync(envelopes)) assert.equal(statSync(join(envelopes, name)).mode & 0o077, 0);
  // The workspace is dbt's own while it runs: its profile is there, readable for nobody else, and what it writes.
  const isWorkspaces = ({ name }: Place) => name.startsWith(join(server.dataDir, "workspaces"));
  const stored = filesIn(server.dataDir);
  for (const { name } of stored.filter(({ name }) => name.endsWith("/profiles.yml"))) {
    assert.equal(statSync(name).mode & 0o077, 0);
  }
  const kept = stored.filter((place) => !isWorkspaces(place));
  assert.deepEqual(leaksIn(kept, secrets), []);

  const first = await plain.done;
  assert.equal(first.code, 1, first.stdout + first.stderr);
  const second = await startCli(["attach", detached.stdout.trim()], { cwd: project, env, server }).done;
  assert.equal(second.code, 1, second.stderr);
  const { runs } = await apiOf(server).runs();
  for (const { id } of runs) await runWhen(server, id, "ended", ({ finishedAt }) => finishedAt !== null);

  await context.test("it was all printed: the mask stands in its place", () => {
    assert.match(first.stdout, /printed \*{5} and \*{5}/);
    assert.match(first.stdout, new RegExp(`^typed ${secrets.sent.length} characters$`, "m"));
    assert.equal(first.stdout.match(/^split \*{5}$/gm)?.length, 9);
    assert.equal(first.stderr.match(/^split \*{5}$/gm)?.length, 9);
    assert.match(first.stdout, /the secret is \*{5}/);
    assert.match(first.stdout, /Could not convert string '\*{5}' to INT32/);
    assert.match(second.stdout, /"msg": ?"logged \*{5}"/);
    const results = readFileSync(join(project, "target", "run_results.json"), "utf8");
    assert.match(results, /Could not convert string '\*{5}'/);
    assert.match(readFileSync(join(project, "target", "manifest.json"), "utf8"), /made with \*{5}/);
    assert.match(readFileSync(join(project, "logs", "dbt.log"), "utf8"), /logged to the file \*{5}/);
  });

  await context.test("not in what was printed and answered", async () => {
    const places: Place[] = [
      { name: "stdout", bytes: Buffer.from(first.stdout) },
      { name: "stderr", bytes: Buffer.from(first.stderr) },
      { name: "stdout of attach", bytes: Buffer.from(second.stdout) },
      { name: "stderr of attach", bytes: Buffer.from(second.stderr) },
      { name: "the server's stdout", bytes: Buffer.from(server.stdout()) },
      { name: "the server's stderr", bytes: Buffer.from(server.stderr()) },
    ];
    const ask = async (path: string, accept: string) => {
      const headers = { authorization: `Bearer ${tokenOf(server)}`, accept };
      const response = await fetch(`${server.url}/api/v1${path}`, { headers });
      assert.equal(response.status, 200, path);
      const bytes = Buffer.from(await response.arrayBuffer());
      const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
      places.push({ name: `${path} as ${accept}`, bytes: isPacked ? gunzipSync(bytes) : bytes });
    };
    await ask("/runs", "application/json");
    await ask("/server?versionText=true", "application/json");
    for (const { id } of runs) {
      for (const part of ["", "/artifacts"]) await ask(`/runs/${id}${part}`, "application/json");
      for (const part of ["/log", "/events"]) await ask(`/runs/${id}${part}`, "text/plain");
      await ask(`/runs/${id}/artifacts.tar.gz`, "*/*");
      for (const name of ["manifest.json", "run_results.json"])
        await ask(`/runs/${id}/artifacts/target/${name}`, "*/*");
    }
    assert.ok(places.every(({ bytes }) => bytes.length > 0 || bytes === places[5]?.bytes));
    assert.deepEqual(leaksIn(places, secrets), []);
  });

  await context.test("not in the data folder, the project, or the user's own folders", () => {
    assert.ok(existsSync(join(server.dataDir, "state.db")));
    assert.deepEqual(leaksIn([...filesIn(server.dataDir), ...filesIn(project), ...filesIn(home)], secrets), []);
    assert.deepEqual(readdirSync(envelopes), []);
  });
});
