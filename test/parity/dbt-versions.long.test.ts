/** The versions of dbt Core that are promised, beside the one that all other tests use. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { DBT_VERSIONS, dbtVersion } from "../dbt-versions.ts";
import { node, root } from "../harness.ts";
import { requirePart } from "../require.ts";
import { VERSIONS } from "./corpus.ts";
import { duckDbProfile } from "./profiles.ts";
import { parityTests } from "./sides.ts";

for (const version of DBT_VERSIONS) {
  const found = dbtVersion(version);
  test(`dbt ${version} is there, and its options are those of the table`, (context) => {
    if (!requirePart(context, `dbt ${version}`, "python" in found, "missing" in found ? found.missing : "")) return;
    // With it, a test that is started by a test reports to that one's runner and prints nothing.
    const { NODE_TEST_CONTEXT: _, ...outside } = process.env;
    const env = { ...outside, DBT_REMOTE_TEST_PYTHON: "python" in found ? found.python : "" };
    const file = join(root, "src", "core", "dbt-commands.test.ts");
    const { status, stdout, stderr } = spawnSync(node, ["--test", file], { env, encoding: "utf8", timeout: 300_000 });
    assert.equal(status, 0, `${stdout}${stderr}`);
    assert.match(stdout, /pass [1-9]/);
  });
  if ("missing" in found) continue;
  for (const warm of ["off", "on"]) {
    parityTests(
      { ...VERSIONS, name: `dbt ${version}, warm ${warm}` },
      {
        fixture: "shop",
        profiles: duckDbProfile,
        python: found.python,
        serverEnv: { DBT_SERVER_WARM: warm },
      },
    );
  }
}
