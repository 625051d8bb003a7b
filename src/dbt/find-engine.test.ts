import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { describeEngine, findEngine, requireAdapter, versionText } from "./find-engine.ts";

const venv = fileURLToPath(new URL("../../.venv", import.meta.url));
const python = join(venv, "bin", "python");
const available = existsSync(python);
const skip = available || process.env["REQUIRE_ALL"] === "1" ? false : "no .venv with dbt; `npm run demo` makes it";

const folder = await mkdtemp(join(tmpdir(), "find-"));
after(() => rm(folder, { recursive: true }));

/** A program that answers as the describing script would in such a Python. */
async function fake(name: string, answer: Record<string, unknown> | string): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, ".."), { recursive: true });
  const text = typeof answer === "string" ? answer : `echo '${JSON.stringify(answer)}'`;
  await writeFile(path, `#!/bin/sh\n${text}\n`);
  await chmod(path, 0o755);
  return path;
}

const found = { version: "1.12.6", pythonVersion: "3.12.1", adapters: [], sitePackages: "/s", fingerprint: "f" };

test("a real Python with dbt is described", { skip }, async () => {
  const engine = await describeEngine(python, process.env);
  assert.match(engine.version, /^1\.\d+\.\d+/);
  assert.match(engine.pythonVersion, /^3\.\d+\.\d+/);
  assert.match(engine.fingerprint, /^[0-9a-f]{64}$/);
  assert.match(engine.sitePackages, /site-packages$/);
  assert.equal(engine.python, python);
  requireAdapter(engine, "duckdb");
  assert.throws(() => requireAdapter(engine, "bigquery"), {
    code: "adapter_not_found",
    hint: `Install it: ${python} -m pip install dbt-bigquery`,
    message: /"bigquery".*duckdb/,
  });
  assert.equal((await describeEngine(python, process.env)).fingerprint, engine.fingerprint);
});

test("dbt's own version block is dbt's own", { skip }, async () => {
  assert.match(await versionText(python, process.env), /^Core:\n {2}- installed: 1\..*\nPlugins:\n/s);
});

test("the order is the active environment, ./.venv, PATH; the first that has dbt is taken", async () => {
  const active = await fake("active/bin/python", found);
  const local = await fake("cwd/.venv/bin/python", found);
  const onPath = await fake("path/python3", found);
  await fake("empty/bin/python", { ...found, version: null });
  const cwd = join(folder, "cwd");
  const PATH = ["/bin", "/usr/bin"].join(delimiter);
  const env = { PATH: `${join(folder, "path")}${delimiter}${PATH}` };
  const where = async (options: Parameters<typeof findEngine>[0]) => (await findEngine(options)).python;

  assert.equal(await where({ env: { ...env, VIRTUAL_ENV: join(folder, "active") }, cwd }), active);
  assert.equal(await where({ env: { ...env, VIRTUAL_ENV: join(folder, "empty") }, cwd }), local);
  assert.equal(await where({ env: { ...env, VIRTUAL_ENV: join(folder, "none") }, cwd: folder }), onPath);
  assert.equal(await where({ explicit: ".venv/bin/python", env, cwd }), local);
  assert.equal(await where({ explicit: "python3", env, cwd }), onPath);
});

test("what was tried is told, with the reason", async () => {
  const env = { PATH: `${join(folder, "nothing")}${delimiter}/bin` };
  const cases: [string, RegExp][] = [
    ["missing/python", /missing\/python \(no such program\)/],
    [await fake("without", { ...found, version: null }), /without \(dbt is not installed there\)/],
    [await fake("second", { ...found, version: null, dbtV2: "2.0.1" }), /second \(dbt 2\.0\.1 is not supported yet\)/],
    [await fake("old", { ...found, version: "1.7.4" }), /old \(dbt 1\.7\.4 is not supported/],
    [await fake("broken", "echo 'no such module' >&2; exit 3"), /broken \(no such module\)/],
    [await fake("other", "echo hello"), /other \(not a Python 3\.10 or newer\)/],
  ];
  for (const [explicit, message] of cases) {
    await assert.rejects(findEngine({ explicit, env, cwd: folder }), {
      code: "dbt_not_found",
      message,
      hint: /--python/,
    });
  }
});

test("a Python without dbt says so", { skip }, async () => {
  const bare = await fake("bare", `exec '${python}' -I -S "$@"`);
  await assert.rejects(describeEngine(bare, { PATH: "/bin" }), { message: /bare \(dbt is not installed there\)/ });
});
