import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { leftovers, localDbt, masked, node, root, start, tempFolder, until } from "./harness.ts";

test("masks what differs between two equal runs", () => {
  const line = "\u001b[0m10:11:12  1 of 2 OK created sql view model main.a ........ [OK in 0.12s]\n";
  const other = "\u001b[0m23:59:59  1 of 2 OK created sql view model main.a ....... [OK in 10.1s]\n";
  assert.equal(masked(line), masked(other));
  assert.equal(masked("at /tmp/a/b/c and /tmp/a", { roots: ["/tmp/a", "/tmp/a/b"] }), "at <root>/c and <root>");
  assert.equal(
    masked("Finished in 0 hours 0 minutes and 1.23 seconds (1.23s). 2026-01-02T03:04:05.678Z"),
    "Finished in <duration> (<duration>). <timestamp>",
  );
});

test("a program sees a home of its own and nothing of the developer's environment", async () => {
  const home = tempFolder("home");
  process.env["DBT_PROFILE"] = "mine";
  const { stdout } = await start(node, ["-p", "JSON.stringify(process.env)"], { home, env: { EXTRA: "1" } }).done;
  delete process.env["DBT_PROFILE"];
  const env = JSON.parse(stdout);
  assert.equal(env.HOME, home);
  assert.equal(env.EXTRA, "1");
  assert.equal(env.DBT_PROFILE, undefined);
});

test("the local dbt runs", async () => {
  const { stdout, code } = await localDbt(["--version"]);
  assert.equal(code, 0);
  assert.match(stdout, /installed: 1\./);
});

test("whatever a test process started is gone when it ends, sessions of their own included", async () => {
  const folder = tempFolder("leftover");
  const mark = join(folder, "mark");
  const script = `
    import { spawn } from "node:child_process";
    import { writeFileSync } from "node:fs";
    import { start, node } from ${JSON.stringify(join(root, "test/harness.ts"))};
    import { tempRoot } from ${JSON.stringify(join(root, "test/folders.ts"))};
    const child = start(node, ["-e", "require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' }); setInterval(() => {}, 1000)"], { cwd: tempRoot });
    writeFileSync(${JSON.stringify(mark)}, tempRoot);
    setTimeout(() => process.exit(0), 1000);
  `;
  await start(node, ["--input-type=module-typescript", "-e", script], { cwd: folder }).done;
  const temp = readFileSync(mark, "utf8");
  assert.equal(existsSync(temp), false);
  await until("nothing is left", () => leftovers(temp).length === 0, 5_000);
});
