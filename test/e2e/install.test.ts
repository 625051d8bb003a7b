import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { before, test } from "node:test";
import { machineNode, program, root, start, tempFolder } from "../harness.ts";

const prefix = tempFolder("prefix");
const bin = join(prefix, "bin");
const version: string = JSON.parse(execFileSync("npm", ["pkg", "get", "version"], { cwd: root, encoding: "utf8" }));

/** The machine's own Node first on PATH, as for a user who has installed the package globally. */
const env = { PATH: [bin, dirname(machineNode()), process.env["PATH"]].join(delimiter) };

before(() => {
  program("cli"); // compiled, so that packing has nothing left to build
  const packed = tempFolder("packed");
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", packed], { cwd: root, stdio: "pipe" });
  const [tarball = ""] = readdirSync(packed);
  // What the package depends on is in npm's cache already, where this clone was installed from a registry.
  const args = ["install", "--global", "--prefix", prefix, "--prefer-offline", "--no-audit", "--no-fund"];
  execFileSync("npm", [...args, join(packed, tarball)], { cwd: packed, stdio: "pipe" });
});

test("the package installs three programs and holds no source, tests or Python bytecode", () => {
  assert.deepEqual(readdirSync(bin).sort(), ["dbt-job", "dbt-remote", "dbt-server"]);
  const installed = join(prefix, "lib", "node_modules", "dbt-remote");
  const top = readdirSync(installed).filter((name) => name !== "node_modules");
  assert.deepEqual(top.sort(), ["CHANGELOG.md", "LICENSE", "README.md", "dist", "package.json"]);
  const files = readdirSync(join(installed, "dist"), { recursive: true, encoding: "utf8" });
  assert.deepEqual(
    files.filter((path) => /\.test\.|__pycache__|\.pyc$/.test(path)),
    [],
  );
  assert.ok(files.some((path) => path.endsWith(".py")));
});

test("the installed CLI runs on the machine's own Node without a server", async () => {
  const cwd = tempFolder("cwd");
  const { stdout, stderr, code } = await start(join(bin, "dbt-remote"), ["--help"], { cwd, env }).done;
  assert.equal(code, 0, stderr);
  assert.match(stdout, /dbt-remote/);
  const elsewhere = await start(join(bin, "dbt-remote"), ["--version"], { cwd, env }).done;
  assert.ok((elsewhere.stdout + elsewhere.stderr).includes(version), elsewhere.stderr);
});

test("the installed server runs, or says which Node it needs", async () => {
  const own = execFileSync(machineNode(), ["-p", "process.versions.node"], { encoding: "utf8" });
  const isOlder = Number.parseInt(own, 10) < Number.parseInt(process.versions.node, 10);
  const args = isOlder ? ["--data-dir", tempFolder("data")] : ["--help"];
  const { stdout, stderr, code } = await start(join(bin, "dbt-server"), args, { env }).done;
  if (isOlder) {
    assert.equal(code, 2);
    assert.match(stderr, /needs Node \d+ or newer, this is v/);
  } else {
    assert.equal(code, 0, stderr);
    assert.match(stdout, /--data-dir/);
  }
});
