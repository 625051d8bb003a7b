import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { HarnessOf, StateHarness } from "./state-contract.ts";
import { readOn } from "./state-logs.ts";
import { newCollection, newRunId, pause, sha256, until } from "./state-test-data.ts";

const KILLS = 12;

interface Child {
  readonly process: ChildProcessByStdio<null, Readable, null>;
  readonly lines: string[];
  /** Resolves when it has ended and all it told was read. */
  readonly ended: Promise<number | null>;
}

function start({ opener }: StateHarness, command: string, args: Record<string, unknown>): Child {
  const program = fileURLToPath(new URL("state-child.ts", import.meta.url));
  const argv = [program, opener.module, JSON.stringify(opener.params), command, JSON.stringify(args)];
  const process_ = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  let rest = "";
  process_.stdout.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
  });
  return { process: process_, lines, ended: once(process_, "close").then(([code]) => code as number | null) };
}

export function processesContract(harnessOf: HarnessOf): void {
  describe("processes", () => {
    test("compare-and-set counts right across processes", async () => {
      const harness = harnessOf();
      const collection = newCollection();
      await harness.state.records.create(collection, "counter", { count: 0 });
      const children = Array.from({ length: 3 }, () => start(harness, "increment", { collection, times: 20 }));
      assert.deepEqual(await Promise.all(children.map(({ ended }) => ended)), [0, 0, 0]);
      assert.deepEqual((await harness.state.records.get(collection, "counter"))?.data, { count: 60 });
    });

    test("each key is created by one process", async () => {
      const harness = harnessOf();
      const collection = newCollection();
      const children = Array.from({ length: 3 }, () => start(harness, "claim", { collection, times: 40 }));
      await Promise.all(children.map(({ ended }) => ended));
      const claimed = children.flatMap(({ lines }) => lines).map(Number);
      assert.deepEqual(
        claimed.sort((a, b) => a - b),
        Array.from({ length: 40 }, (_, number) => number),
      );
    });

    test("a watch hears of another process", async () => {
      const harness = harnessOf();
      const collection = newCollection();
      let calls = 0;
      const stop = harness.state.records.watch(collection, "k", () => {
        calls += 1;
      });
      const child = start(harness, "put", { collection, key: "k" });
      await until("three changes", () => calls >= 3);
      child.process.kill("SIGKILL");
      await child.ended;
      stop();
    });

    test("a writer killed at any moment leaves each acknowledged byte once", async () => {
      const harness = harnessOf();
      const runId = newRunId();
      let acknowledged = 0;
      let from = 0;
      let shown = Buffer.alloc(0);
      for (let kill = 0; kill < KILLS; kill += 1) {
        const child = start(harness, "writeLog", { runId, from });
        await until("the first line", () => child.lines.length >= 2);
        await pause(randomInt(0, 30));
        // What a reader was shown is there for good.
        const page = await readOn(harness.state.logs, runId, "log", shown.length);
        shown = Buffer.concat([shown, page.bytes]);
        child.process.kill("SIGKILL");
        await child.ended;
        const [opened = "", ...offsets] = child.lines;
        assert.ok(Number(opened.slice("opened ".length)) >= acknowledged, "opened at the true end");
        acknowledged = Number(offsets.at(-1));
        // The next writer goes on with the next line: that of the last whole pair, seen or not.
        const { bytes } = await readOn(harness.state.logs, runId, "log");
        assert.ok(bytes.length >= acknowledged);
        assert.ok(bytes.subarray(0, shown.length).equals(shown));
        const written = bytes.toString().split("\n").length - 1;
        from = written;
      }
      const writer = await harness.state.logs.openWriter(runId, "log");
      const seal = await writer.seal();
      const { bytes, channels } = await readOn(harness.state.logs, runId, "log");
      const lines = bytes.toString().split("\n").slice(0, -1);
      assert.deepEqual(
        lines.map((line) => Number(line.split(" ")[1])),
        lines.map((_, number) => number),
        "each line once, in order",
      );
      assert.equal(channels[0], "out");
      assert.deepEqual(seal, { finalOffset: bytes.length, sha256: sha256(bytes) });
    });
  });
}
