import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type CliOptions, cli, startServer, type TestServer } from "../harness.ts";
import { type PackageHub, startHub } from "./package-hub.ts";
import { DUCKDB_PROFILE, projectYaml, writeFiles } from "./written-project.ts";

let server: TestServer;
let hub: PackageHub;
before(async () => {
  [server, hub] = await Promise.all([startServer(), startHub()]);
});
after(async () => {
  hub.close();
  await server.stop();
});

async function remote(args: readonly string[], options: CliOptions): Promise<string> {
  const { code, stdout, stderr } = await cli(args, { server, ...options });
  assert.equal(code, 0, `${args.join(" ")}\n${stdout}${stderr}`);
  return stdout;
}

test("with a manifest alone and packages: seed, run, test, show, run-operation", async () => {
  const packages = JSON.stringify({ packages: [{ tarball: hub.tarballUrl, name: "packed" }] });
  const project = writeFiles({
    "dbt_project.yml": projectYaml(),
    "profiles.yml": DUCKDB_PROFILE,
    "packages.yml": packages,
    "seeds/people.csv": "id,name\n1,Ada\n",
    "models/names.sql": "{% do packed.hello_packed() %}select name from {{ ref('people') }}",
    "models/names.yml": "models: [{name: names, columns: [{name: name, data_tests: [not_null]}]}]\n",
  });
  await remote(["deps"], { cwd: project });
  await remote(["parse"], { cwd: project });
  const read = (path: string) => readFileSync(join(project, path), "utf8");
  const folder = writeFiles({
    "manifest.json": read("target/manifest.json"),
    "dbt_project.yml": read("dbt_project.yml"),
    "profiles.yml": read("profiles.yml"),
    "more.yml": packages,
    "csv/people.csv": "id,name\n1,Grace\n",
  });
  const options = { cwd: folder };
  const alone = ["--manifest", "manifest.json", "--extra-packages", "more.yml", "--seeds-path", "csv"];
  assert.match(await remote(["seed", ...alone], options), /PASS=1/);
  assert.match(await remote(["run", ...alone], options), /hello from packed[\s\S]*PASS=1/);
  assert.match(await remote(["test", ...alone], options), /PASS=1/);
  assert.match(await remote(["show", "-s", "names", ...alone], options), /Grace/);
  assert.match(await remote(["run-operation", "hello_packed", ...alone], options), /hello from packed/);
});
