import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { packStream } from "../snapshot/pack.ts";
import { applyArtifacts } from "./apply-artifacts.ts";
import { cleanLocally } from "./clean-local.ts";
import type { Places } from "./places.ts";

const base = mkdtempSync(path.join(tmpdir(), "apply-"));
after(() => rmSync(base, { recursive: true, force: true }));
let count = 0;

function project(files: Record<string, string>): Places {
  count += 1;
  const projectDir = path.join(base, `p${count}`);
  mkdirSync(projectDir);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(projectDir, name)), { recursive: true });
    writeFileSync(path.join(projectDir, name), text);
  }
  return {
    projectDir,
    targetDir: path.join(projectDir, "target"),
    logDir: path.join(projectDir, "logs"),
    packagesDir: path.join(projectDir, "dbt_packages"),
    outside: { abcdef012345: path.join(base, `outside${count}`) },
    localPackages: {},
    outputs: [],
    cleanTargets: ["target", "dbt_packages"],
    checkout: "c",
  };
}

function apply(places: Places, files: Record<string, string>, more = {}) {
  const inputs = Object.entries(files).map(([name, text]) => ({
    path: name,
    mode: "100644" as const,
    size: Buffer.byteLength(text),
    content: Buffer.from(text),
  }));
  const pack = packStream(inputs).stream as AsyncIterable<Uint8Array>;
  return applyArtifacts({ pack, places, replacePackages: false, appendLog: true, ...more });
}

const read = (places: Places, name: string) => readFileSync(path.join(places.projectDir, name), "utf8");

test("files come where local dbt would have put them, the log is appended, nothing else is touched", async () => {
  const places = project({ "target/old.json": "old", "target/manifest.json": "1", "logs/dbt.log": "before\n" });
  const { files, refused } = await apply(places, {
    "target/manifest.json": "2",
    "target/compiled/a/b.sql": "select 1",
    "target/partial_parse.msgpack": "no",
    "logs/dbt.log": "after\n",
    "package-lock.yml": "packages: []",
    "@outside/abcdef012345/report/f.json": "{}",
  });
  assert.deepEqual(refused, []);
  assert.equal(files, 5);
  assert.equal(read(places, "target/manifest.json"), "2");
  assert.equal(read(places, "target/old.json"), "old");
  assert.equal(read(places, "target/compiled/a/b.sql"), "select 1");
  assert.equal(read(places, "logs/dbt.log"), "before\nafter\n");
  assert.equal(existsSync(path.join(places.targetDir, "partial_parse.msgpack")), false);
  assert.equal(readFileSync(path.join(base, `outside${count}`, "report/f.json"), "utf8"), "{}");
  assert.deepEqual(readdirSync(places.targetDir).sort(), ["compiled", "manifest.json", "old.json"]);
});

test("sources, foreign folders and what lies behind links are never written", async () => {
  const places = project({ "models/a.sql": "select 1" });
  mkdirSync(places.targetDir);
  const elsewhere = path.join(base, "elsewhere");
  mkdirSync(elsewhere, { recursive: true });
  symlinkSync(elsewhere, path.join(places.targetDir, "link"));
  const { refused } = await apply(places, {
    "models/a.sql": "drop",
    ".git/hooks/post-checkout": "x",
    "@outside/000000000000/f": "x",
  });
  assert.equal(refused.length, 3);
  assert.equal(read(places, "models/a.sql"), "select 1");
  await assert.rejects(apply(places, { "target/link/f": "x" }), /is a link/);
  assert.deepEqual(readdirSync(elsewhere), []);
  // A link in the file's own place is replaced, not followed.
  writeFileSync(path.join(elsewhere, "kept"), "kept");
  symlinkSync(path.join(elsewhere, "kept"), path.join(places.targetDir, "graph.gpickle"));
  await apply(places, { "target/graph.gpickle": "new" });
  assert.equal(readFileSync(path.join(elsewhere, "kept"), "utf8"), "kept");
  assert.equal(read(places, "target/graph.gpickle"), "new");
});

test("a target folder that is itself a link is the user's own choice", async () => {
  const places = project({});
  const disk = path.join(base, "disk");
  mkdirSync(disk);
  symlinkSync(disk, places.targetDir);
  await apply(places, { "target/manifest.json": "1" });
  assert.equal(readFileSync(path.join(disk, "manifest.json"), "utf8"), "1");
  assert.ok(lstatSync(places.targetDir).isSymbolicLink());
});

test("packages are replaced as a whole after deps, and only then; local packages are links", async () => {
  const places = project({ "dbt_packages/old/x.sql": "old", "local_pkg/dbt_project.yml": "name: mine" });
  await apply(places, { "dbt_packages/new/y.sql": "new" });
  assert.deepEqual(readdirSync(places.packagesDir), ["old"]);
  const localPackages = { mine: path.join(places.projectDir, "local_pkg") };
  await apply({ ...places, localPackages }, { "dbt_packages/new/y.sql": "new" }, { replacePackages: true });
  assert.deepEqual(readdirSync(places.packagesDir).sort(), ["mine", "new"]);
  assert.equal(read(places, "dbt_packages/mine/dbt_project.yml"), "name: mine");
  assert.deepEqual(readdirSync(places.projectDir).sort(), ["dbt_packages", "local_pkg"]);
});

test("a pack that breaks off changes no packages and leaves no drafts", async () => {
  const places = project({ "dbt_packages/old/x.sql": "old" });
  const content = Buffer.alloc(200_000, "x");
  const whole = packStream([{ path: "dbt_packages/new/y.sql", mode: "100644", size: content.length, content }]).stream;
  const bytes = Buffer.concat((await whole.toArray()) as Buffer[]);
  const pack = (async function* () {
    yield bytes.subarray(0, bytes.length - 40);
  })();
  await assert.rejects(applyArtifacts({ pack, places, replacePackages: true, appendLog: true }));
  assert.deepEqual(readdirSync(places.projectDir), ["dbt_packages"]);
  assert.deepEqual(readdirSync(places.packagesDir), ["old"]);
});

test("the same log is not appended twice", async () => {
  const places = project({ "logs/dbt.log": "a\n" });
  await apply(places, { "logs/dbt.log": "b\n" }, { appendLog: false });
  assert.equal(read(places, "logs/dbt.log"), "a\n");
});

test("clean deletes the clean-targets in the project, and those outside only where the command says so", async () => {
  const outside = path.join(base, "cleaned");
  mkdirSync(outside, { recursive: true });
  const places = {
    ...project({ "target/a": "", "dbt_packages/b": "", "models/m.sql": "", "logs/dbt.log": "" }),
    cleanTargets: ["target", "dbt_packages", ".", "..", outside],
  };
  await cleanLocally(places, { alsoOutside: false });
  assert.deepEqual(readdirSync(places.projectDir).sort(), ["logs", "models"]);
  assert.ok(existsSync(outside));
  await cleanLocally(places, { alsoOutside: true });
  assert.equal(existsSync(outside), false);
  assert.ok(existsSync(path.join(places.projectDir, "models/m.sql")));
});
