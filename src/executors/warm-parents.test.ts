import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { python, until } from "../../test/programs.ts";
import { environment, run, warmEngine } from "../../test/warm.ts";
import { createWarmParents, type WarmParents, type WarmParentsOptions } from "./warm-parents.ts";

const skip = existsSync(python) || process.env["REQUIRE_ALL"] === "1" ? false : "no .venv with dbt";

function open(context: TestContext, options: Partial<WarmParentsOptions> = {}): WarmParents & { said: string[] } {
  const said: string[] = [];
  const defaults = { env: environment(), tempFolder: tmpdir(), projects: 1, memoryBytes: 2 ** 30, idleMs: 3_600_000 };
  const parents = createWarmParents({ ...defaults, debug: (text) => said.push(text), ...options });
  context.after(async () => {
    parents.close();
    await until("the end of all warm processes", async () => (await parents.states()).length === 0);
  });
  return { ...parents, said };
}

const version = { args: ["run", "--bogus"], cwd: tmpdir(), env: environment() };

test("one is started, asked while it loads dbt, replaced when it dies, and ends with its keeper", {
  skip,
}, async (context) => {
  const parents = open(context);
  const place = parents.at(python);
  assert.ok(place && place.answerMs > 3_000, "a run waits for one that is being loaded");
  assert.equal((await parents.states())[0]?.state, "starting");
  const notes: string[] = [];
  const outcome = await run(warmEngine(place, notes), version);
  assert.equal(outcome.code, 2, outcome.stderr);
  assert.match(notes[0] ?? "", /^dbt runs warm/);
  const [first] = await parents.states();
  assert.equal(first?.state, "ready");
  assert.ok((first?.stats?.rssBytes ?? 0) > 10 * 2 ** 20);
  assert.equal(parents.at(python)?.socketPath, place.socketPath);

  process.kill(first?.stats?.pid ?? 0, "SIGKILL");
  await until("its end to be noticed", async () => (await parents.states()).length === 0);
  assert.equal(parents.at(python), undefined, "not at once: it may die again");
  const next = await until("the pause to pass", () => parents.at(python));
  assert.notEqual(next.socketPath, place.socketPath);
  await until("another", async () => (await parents.states())[0]?.state === "ready");
  assert.ok(
    parents.said.some((text) => /SIGKILL/.test(text)),
    parents.said.join("\n"),
  );
});

test("one that nobody uses ends, and the next launch starts another", { skip }, async (context) => {
  const parents = open(context, { idleMs: 500 });
  const place = parents.at(python);
  await until("the end of the idle one", async () => (await parents.states()).length === 0);
  assert.ok(!existsSync(join(place?.socketPath ?? "", "..")), "nothing of it is left behind");
  assert.notEqual(parents.at(python), undefined);
});

test("where Python or dbt is missing, there is none, and it is not tried again at once", async (context) => {
  const parents = open(context);
  const place = parents.at("/nowhere/python");
  await until("the failure", async () => (await parents.states()).length === 0);
  assert.equal(parents.at("/nowhere/python"), undefined);
  assert.match(parents.said.join("\n"), /ENOENT/);
  assert.ok(!existsSync(place?.socketPath ?? ""));
});
