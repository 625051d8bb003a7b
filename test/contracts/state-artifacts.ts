import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { latestWithManifest } from "../../src/state/latest-manifest.ts";
import type { HarnessOf } from "./state-contract.ts";
import { packOf, storesUnderTest } from "./state-stores-data.ts";
import { bytesOf, codeIs, newRunId } from "./state-test-data.ts";

export function artifactsContract(harnessOf: HarnessOf): void {
  const { stores, created } = storesUnderTest(harnessOf);

  describe("artifacts", () => {
    test("are listed, served one by one from their packs, and packed", async () => {
      const { artifacts } = stores();
      const runId = newRunId();
      assert.deepEqual(await artifacts.list(runId), []);
      await assert.rejects(artifacts.open(runId, "target/manifest.json"), codeIs("artifact_not_found"));
      await assert.rejects(artifacts.openPack(runId, "target"), codeIs("artifact_not_found"));
      const target = packOf({ "target/manifest.json": "{}", "target/run/ä.sql": "select 1", "target/empty": "" });
      const { pack, index } = target;
      await artifacts.putPack({
        runId,
        name: "target",
        content: Readable.from([pack]),
        index,
        manifestPath: "target/manifest.json",
      });
      const rest = packOf({ "logs/dbt.log": "log", "target/manifest.json": "{2}" });
      await artifacts.putPack({ runId, name: "rest", content: rest.pack, index: rest.index });
      assert.deepEqual(
        (await artifacts.list(runId)).map(({ path, pack }) => [path, pack]),
        [
          ["logs/dbt.log", "rest"],
          ["target/empty", "target"],
          ["target/manifest.json", "rest"],
          ["target/run/ä.sql", "target"],
        ],
      );
      const textOf = async (path: string) => (await bytesOf((await artifacts.open(runId, path)).content))?.toString();
      assert.equal(await textOf("target/run/ä.sql"), "select 1");
      assert.equal(await textOf("target/empty"), "");
      assert.equal(await textOf("target/manifest.json"), "{2}");
      const whole = await artifacts.openPack(runId, "target");
      assert.deepEqual(await bytesOf(whole.content), pack);
      assert.equal(whole.bytes, pack.length);
      assert.equal((await artifacts.get(runId))?.manifestPath, "target/manifest.json");
    });

    test("a pack that is complete stays, one cut short is put again", async () => {
      const { artifacts } = stores();
      const runId = newRunId();
      const cut = packOf({ "target/a": "cut short, and longer than what follows" });
      await harnessOf().state.blobs.put(`runs/${runId}/target.tar.gz`, cut.pack);
      for (const text of ["one", "two"]) {
        const { pack, index } = packOf({ "target/a": text });
        await artifacts.putPack({ runId, name: "target", content: pack, index });
        const { content } = await artifacts.open(runId, "target/a");
        assert.equal((await bytesOf(content))?.toString(), "one");
      }
    });

    test("run:latest is the latest success of a target with a manifest", async () => {
      const { artifacts, runs } = stores();
      const workspace = newRunId();
      const target = `t${newRunId()}`;
      const made: string[] = [];
      for (const [status, manifest] of [
        ["success", true],
        ["success", true],
        ["failed", true],
        ["success", false],
      ] as const) {
        const { id: runId } = await created({ workspace, target });
        made.push(runId);
        const { pack: content, index } = packOf({ "target/manifest.json": "{}" });
        const manifestPath = manifest ? "target/manifest.json" : null;
        await artifacts.putPack({ runId, name: "target", content, index, manifestPath });
        await runs.transition(runId, "running");
        await runs.transition(runId, status);
      }
      assert.equal((await latestWithManifest(runs, artifacts, { target }))?.id, made[1]);
      assert.equal((await latestWithManifest(runs, artifacts, { target, workspace }))?.id, made[1]);
      assert.equal((await latestWithManifest(runs, artifacts, { target: null, workspace }))?.id, made[1]);
      assert.equal(await latestWithManifest(runs, artifacts, { target: "none" }), undefined);
    });
  });
}
