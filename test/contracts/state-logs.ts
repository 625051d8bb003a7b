import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { describe, test } from "node:test";
import type { LogChannel, LogName, LogPage, LogSegment, LogStore } from "../../src/state/port.ts";
import type { HarnessOf } from "./state-contract.ts";
import { codeIs, newRunId, segment, sha256, until } from "./state-test-data.ts";

/** Reads on until nothing comes, checking that pages join. */
export async function readOn(logs: LogStore, runId: string, name: LogName, offset = 0, maxBytes = 65_536) {
  const chunks: Buffer[] = [];
  const channels: LogChannel[] = [];
  let nextOffset = offset;
  let page: LogPage;
  do {
    page = await logs.read(runId, name, nextOffset, maxBytes);
    for (const { bytes, channel, offset: at } of page.segments) {
      assert.equal(at, nextOffset, "a page begins where the last ended");
      nextOffset += bytes.byteLength;
      chunks.push(Buffer.from(bytes));
      for (const _ of bytes) channels.push(channel);
    }
    assert.equal(page.nextOffset, nextOffset);
  } while (page.segments.length > 0);
  return { bytes: Buffer.concat(chunks), channels, nextOffset, seal: page.seal };
}

function randomSegments(count: number): LogSegment[] {
  const channels: readonly LogChannel[] = ["out", "err", "job"];
  return Array.from({ length: count }, (_, number) =>
    segment(`line ${number} ${"é".repeat(randomInt(0, 30))}\n`, channels[randomInt(0, 3)] ?? "out", 1000 + number),
  );
}

export function logsContract(harnessOf: HarnessOf): void {
  const logs = () => harnessOf().state.logs;

  describe("logs", () => {
    test("a log that nobody wrote is empty", async () => {
      assert.deepEqual(await logs().read(newRunId(), "log", 0, 1000), { segments: [], nextOffset: 0, seal: null });
      assert.deepEqual(await logs().read(newRunId(), "log", 500, 1000), { segments: [], nextOffset: 500, seal: null });
    });

    test("what was appended is read by another handle, each stream by itself", async () => {
      const runId = newRunId();
      const writer = await logs().openWriter(runId, "log");
      const events = await logs().openWriter(runId, "events");
      await writer.append([segment("one\n", "out", 11), segment("two\n", "err", 12), segment("END\n", "job", 13)]);
      await events.append([segment("{}\n")]);
      assert.equal(writer.offset, 12);
      const other = await harnessOf().reopen();
      const page = await other.logs.read(runId, "log", 0, 1000);
      const seen = page.segments.map(({ channel, timeMs, offset, bytes }) => [
        channel,
        timeMs,
        offset,
        Buffer.from(bytes).toString(),
      ]);
      assert.deepEqual(seen, [
        ["out", 11, 0, "one\n"],
        ["err", 12, 4, "two\n"],
        ["job", 13, 8, "END\n"],
      ]);
      assert.equal(page.seal, null);
      assert.equal((await readOn(other.logs, runId, "events")).bytes.toString(), "{}\n");
      await writer.close();
      await events.close();
    });

    test("every offset reads the rest, with its channels", async () => {
      const runId = newRunId();
      const writer = await logs().openWriter(runId, "log");
      const segments = randomSegments(40);
      for (let at = 0; at < segments.length; at += 4) await writer.append(segments.slice(at, at + 4));
      const whole = Buffer.concat(segments.map(({ bytes }) => bytes));
      const channels = segments.flatMap(({ bytes, channel }) => Array.from(bytes, () => channel));
      for (let round = 0; round < 25; round += 1) {
        const offset = round === 0 ? 0 : randomInt(0, whole.length + 1);
        const rest = await readOn(logs(), runId, "log", offset, randomInt(1, 500));
        assert.deepEqual(rest.bytes, whole.subarray(offset));
        assert.deepEqual(rest.channels, channels.slice(offset));
      }
      await writer.close();
    });

    test("a page is never larger than was asked for", async () => {
      const runId = newRunId();
      const writer = await logs().openWriter(runId, "log");
      await writer.append([segment("x".repeat(10_000))]);
      const page = await logs().read(runId, "log", 100, 64);
      assert.equal(page.nextOffset, 164);
      await writer.close();
    });

    test("a writer goes on where the last ended; empty segments leave nothing", async () => {
      const runId = newRunId();
      const first = await logs().openWriter(runId, "log");
      await first.append([segment("one\n"), segment("")]);
      await first.append([]);
      await first.close();
      const second = await (await harnessOf().reopen()).logs.openWriter(runId, "log");
      assert.equal(second.offset, 4);
      await second.append([segment("two\n")]);
      await second.close();
      assert.equal((await readOn(logs(), runId, "log")).bytes.toString(), "one\ntwo\n");
    });

    test("a seal ends the stream for good", async () => {
      const runId = newRunId();
      const first = await logs().openWriter(runId, "log");
      await first.append([segment("one\n")]);
      await first.close();
      const writer = await logs().openWriter(runId, "log");
      await writer.append(randomSegments(20));
      const seal = await writer.seal();
      const { bytes, seal: read } = await readOn(await logs(), runId, "log");
      assert.deepEqual(read, seal);
      assert.deepEqual(seal, { finalOffset: bytes.length, sha256: sha256(bytes) });
      await assert.rejects(logs().openWriter(runId, "log"), codeIs("run_finished"));
      assert.deepEqual((await logs().read(runId, "log", bytes.length + 5, 10)).seal, seal);
      // Sealed, it still reads from anywhere.
      assert.deepEqual((await readOn(logs(), runId, "log", 3, 100)).bytes, bytes.subarray(3));
    });

    test("an empty log can be sealed", async () => {
      const runId = newRunId();
      const seal = await (await logs().openWriter(runId, "events")).seal();
      assert.deepEqual(seal, { finalOffset: 0, sha256: sha256("") });
      assert.deepEqual((await logs().read(runId, "events", 0, 10)).seal, seal);
    });

    test("a large batch", async () => {
      const runId = newRunId();
      const writer = await logs().openWriter(runId, "log");
      const line = `${"x".repeat(99)}\n`;
      await writer.append(
        Array.from({ length: 20_000 }, (_, number) => segment(line, number % 2 === 0 ? "out" : "err")),
      );
      const { bytes } = await readOn(logs(), runId, "log", 0, 1_000_000);
      assert.equal(sha256(bytes), sha256(line.repeat(20_000)));
      assert.deepEqual(await writer.seal(), { finalOffset: bytes.length, sha256: sha256(bytes) });
    });

    test("watch tells of appends and of the seal, here and elsewhere", async () => {
      const runId = newRunId();
      const other = await harnessOf().reopen();
      let here = 0;
      let there = 0;
      let events = 0;
      const stops = [
        logs().watch(runId, "log", () => {
          here += 1;
        }),
        other.logs.watch(runId, "log", () => {
          there += 1;
        }),
        other.logs.watch(runId, "events", () => {
          events += 1;
        }),
      ];
      const writer = await logs().openWriter(runId, "log");
      await writer.append([segment("one\n")]);
      await until("the append", () => here >= 1 && there >= 1);
      [here, there] = [0, 0];
      await writer.append([segment("two\n")]);
      await until("the second append", () => here >= 1 && there >= 1);
      [here, there] = [0, 0];
      await writer.seal();
      await until("the seal", () => here >= 1 && there >= 1);
      assert.equal(events, 0);
      for (const stop of stops) stop();
    });

    test("a follower woken by watch misses nothing", async () => {
      const runId = newRunId();
      const other = await harnessOf().reopen();
      let offset = 0;
      let text = "";
      let sealed = false;
      let reading = Promise.resolve();
      const read = () => {
        reading = reading.then(async () => {
          const rest = await readOn(other.logs, runId, "log", offset, 1000);
          offset = rest.nextOffset;
          text += rest.bytes.toString();
          sealed = rest.seal?.finalOffset === offset;
        });
      };
      const stop = other.logs.watch(runId, "log", read);
      read();
      const writer = await logs().openWriter(runId, "log");
      const lines = Array.from({ length: 60 }, (_, number) => `line ${number}\n`);
      for (const line of lines) await writer.append([segment(line)]);
      await writer.seal();
      await until("the whole log", () => sealed);
      assert.equal(text, lines.join(""));
      stop();
    });

    test("remove forgets all of a run", async () => {
      const runId = newRunId();
      const writer = await logs().openWriter(runId, "log");
      await writer.append([segment("one\n")]);
      await writer.seal();
      await logs().remove(runId);
      await logs().remove(runId);
      assert.deepEqual(await logs().read(runId, "log", 0, 10), { segments: [], nextOffset: 0, seal: null });
    });
  });
}
