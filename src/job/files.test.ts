/** What the job does with files before and after dbt, short of running it. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { createJobHarness, makeProject } from "../../test/job-harness.ts";
import { EMPTY_ENVELOPE } from "../core/envelope.ts";
import { sha256Of } from "../snapshot/hash.ts";
import { packStream } from "../snapshot/pack.ts";
import { cleanFile } from "./clean-secrets.ts";
import { placeInputs } from "./inputs.ts";
import { changedFiles, listFiles } from "./listing.ts";
import { logFiles, outputPlaces, removeLogs } from "./places.ts";
import { emptyProfiles, openWorkspace, writeProfiles } from "./workspace.ts";

const KEY = "ab".repeat(32);
const run = { workspace: KEY, projectDir: "apps/shop", profileFrom: "client" } as const;

test("a workspace is the same each time, and profiles in it are the owner's alone and gone afterwards", () => {
  const dataDir = tempFolder("data");
  const open = () => openWorkspace({ dataDir, run, root: 1, serverProfiles: undefined });
  const workspace = open();
  assert.equal(workspace.project, join(dataDir, "workspaces", KEY, "1", "tree", "apps", "shop"));
  assert.equal(statSync(workspace.ownProfiles).mode & 0o777, 0o700);
  const files = [{ name: "0-key.json", contentBase64: Buffer.from("{}").toString("base64") }];
  writeProfiles(workspace, { ...EMPTY_ENVELOPE, profiles: 'keyfile: "@profiles/0-key.json"\n', files });
  const profiles = join(workspace.ownProfiles, "profiles.yml");
  assert.equal(readFileSync(profiles, "utf8"), `keyfile: "${workspace.ownProfiles}/0-key.json"\n`);
  assert.equal(statSync(profiles).mode & 0o777, 0o600);
  assert.deepEqual(open(), workspace);
  assert.deepEqual(readdirSync(workspace.ownProfiles), [], "a run that was cut off left them");
  for (const name of ["../x", "profiles.yml", ".bashrc", "a/b", ""]) {
    assert.throws(() => writeProfiles(workspace, { ...EMPTY_ENVELOPE, files: [{ name, contentBase64: "" }] }), {
      code: "path_outside",
    });
  }
  emptyProfiles(workspace);
});

test("the server's profiles are used where they are, and have to be there", () => {
  const dataDir = tempFolder("data");
  const fromServer = { ...run, profileFrom: "server" } as const;
  assert.equal(openWorkspace({ dataDir, run: fromServer, root: 2, serverProfiles: "/etc/dbt" }).profiles, "/etc/dbt");
  assert.throws(() => openWorkspace({ dataDir, run: fromServer, root: 2, serverProfiles: undefined }), {
    code: "bad_profile",
  });
});

test("where dbt writes is told from flag, variable and dbt_project.yml", async () => {
  const project = await makeProject({ "dbt_project.yml": "target-path: \"{{ env_var('T') }}\"\nlog-path: my-logs\n" });
  const places = (args: string[], env = {}) => outputPlaces({ project, args, env });
  assert.equal(places(["run"], { T: "t1" }).targetDir, join(project, "t1"));
  assert.equal(places(["run"], { T: "t1", DBT_TARGET_PATH: "t2" }).targetDir, join(project, "t2"));
  assert.equal(places(["run", "--target-path", "/o/t3"], { DBT_TARGET_PATH: "t2" }).targetDir, "/o/t3");
  assert.equal(places(["run"]).logDir, join(project, "my-logs"));
  assert.equal(places(["run", "--log-path", "l"]).logDir, join(project, "l"));
  assert.deepEqual(places(["source", "freshness", "-o", "f/s.json"]).files, [join(project, "f/s.json")]);
  assert.equal(places(["deps"]).installsPackages, true);
  assert.equal(places(["deps", "--lock"]).installsPackages, false);
});

test("a log that dbt began anew is one log, the oldest part first, and goes before the next run", async () => {
  const folder = await makeProject({ "dbt.log": "3", "dbt.log.1": "2", "dbt.log.10": "1", "other.log": "x" });
  assert.deepEqual(
    logFiles(folder)
      .map((file) => readFileSync(file, "utf8"))
      .join(""),
    "123",
  );
  removeLogs(folder);
  assert.deepEqual(readdirSync(folder), ["other.log"]);
  removeLogs(join(folder, "none"));
});

test("files that a run made or changed are found, whatever they changed in", async () => {
  const folder = await makeProject({ "a/same": "1", "a/longer": "1", "a/b/rewritten": "1" });
  symlinkSync("/etc", join(folder, "a", "link"));
  const before = listFiles([join(folder, "a"), join(folder, "absent"), join(folder, "a/same/below-a-file")]);
  appendFileSync(join(folder, "a/longer"), "2");
  writeFileSync(join(folder, "a/b/rewritten"), "1");
  writeFileSync(join(folder, "a/new"), "");
  const changed = changedFiles(before, listFiles([join(folder, "a")])).sort();
  assert.deepEqual(
    changed,
    ["a/b/rewritten", "a/longer", "a/new"].map((path) => join(folder, path)),
  );
});

test("secrets are masked where a file lies; what is no text is left to be removed", async () => {
  const folder = await makeProject({ text: "a hunter2 b", open: "nothing", binary: "x\0hunter2" });
  const at = (name: string) => join(folder, name);
  assert.equal(await cleanFile(at("text"), ["hunter2"]), "masked");
  assert.equal(readFileSync(at("text"), "utf8"), "a ***** b");
  const { mtimeMs } = statSync(at("open"));
  assert.equal(await cleanFile(at("open"), ["hunter2"]), "clean");
  assert.equal(statSync(at("open")).mtimeMs, mtimeMs);
  assert.equal(await cleanFile(at("binary"), ["hunter2"]), "binary");
  assert.equal(await cleanFile(at("text"), []), "clean");
  assert.deepEqual(readdirSync(folder).sort(), ["binary", "open", "text"]);
});

test("inputs are placed verified; an older artifact in a state folder is not read with newer ones", async () => {
  const { state, stores, dataDir, close } = await createJobHarness();
  try {
    const folders = { project: join(dataDir, "p"), outside: join(dataDir, "o"), profiles: join(dataDir, "q") };
    mkdirSync(folders.project);
    const input = (path: string, text: string) => ({ path, sha256: sha256Of(text), size: text.length });
    const place = (inputs: ReturnType<typeof input>[], stateSources: { path: string; runId: string }[] = []) =>
      placeInputs({ run: { inputs, stateSources }, folders, contents: state.contents, artifacts: stores.artifacts });
    for (const text of ["one", "two"]) await state.contents.put(sha256Of(text), Buffer.from(text));
    await place([
      input("prod/manifest.json", "one"),
      input("prod/run_results.json", "two"),
      input("@outside/abcd/manifest.json", "two"),
    ]);
    assert.equal(readFileSync(join(folders.outside, "abcd/manifest.json"), "utf8"), "two");
    writeFileSync(join(folders.project, "prod/mine.txt"), "");
    await place([input("prod/manifest.json", "two")]);
    assert.deepEqual(readdirSync(join(folders.project, "prod")).sort(), ["manifest.json", "mine.txt"]);
    assert.equal(readFileSync(join(folders.project, "prod/manifest.json"), "utf8"), "two");

    await assert.rejects(place([input("x.json", "three")]), { code: "blobs_missing" });
    await assert.rejects(place([{ ...input("x.json", "one"), size: 2 }]), { code: "blob_corrupt" });
    symlinkSync("/tmp", join(folders.project, "away"));
    await assert.rejects(place([input("away/x.json", "one")]), { code: "path_outside" });
    await assert.rejects(place([input("../x.json", "one")]), { code: "path_outside" });

    const runId = "11111111-1111-4111-8111-111111111111";
    const file = (path: string) => ({ path, mode: "100644", size: 3, content: Buffer.from("abc") }) as const;
    const { stream, index } = packStream(
      ["t/graph.json", "t/manifest.json", "t/run_results.json", "u/sources.json"].map(file),
    );
    await stores.artifacts.putPack({ runId, name: "target", content: stream, index, manifestPath: "t/manifest.json" });
    await place([], [{ path: "@outside/run-1", runId }]);
    assert.deepEqual(readdirSync(join(folders.outside, "run-1")).sort(), ["manifest.json", "run_results.json"]);
    await place([], [{ path: "@outside/run-1", runId: "22222222-1111-4111-8111-111111111111" }]);
    assert.deepEqual(readdirSync(join(folders.outside, "run-1")), []);
    assert.ok(existsSync(join(folders.outside, "abcd/manifest.json")));
  } finally {
    await close();
  }
});
