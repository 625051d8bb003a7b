import assert from "node:assert/strict";
import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { recallPlaces, rememberPlaces } from "./places.ts";
import { prepareHome } from "./prepare-home.ts";

const PLACES = {
  ...{ projectDir: "/p", targetDir: "/p/target", logDir: "/p/logs", packagesDir: "/p/dbt_packages" },
  ...{ outside: {}, localPackages: {}, outputs: [], cleanTargets: [], checkout: "c" },
};

test("preparing for a run's files forgets where those of long ago belong, and nothing else", async () => {
  const env = { HOME: tempFolder("home") };
  const ids = Array.from({ length: 501 }, (_, index) => `00000000-0000-0000-0000-${String(index).padStart(12, "0")}`);
  const [oldest = "", newest = ""] = [ids[0], ids.at(-1)];
  await rememberPlaces(env, oldest, PLACES);
  await prepareHome(env);
  assert.deepEqual(await recallPlaces(env, oldest), PLACES);

  const folder = join(env.HOME, ".cache", "dbt-remote", "runs");
  ids.forEach((id, index) => {
    const file = join(folder, `${id}.json`);
    writeFileSync(file, JSON.stringify(PLACES));
    utimesSync(file, index, index);
  });
  await prepareHome(env);
  assert.equal(readdirSync(folder).length, 250);
  assert.equal(await recallPlaces(env, oldest), undefined);
  assert.deepEqual(await recallPlaces(env, newest), PLACES);
});
