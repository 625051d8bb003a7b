import assert from "node:assert/strict";
import { test } from "node:test";
import { tempFolder } from "../../test/folders.ts";
import { until } from "../../test/programs.ts";
import { AppError } from "../core/errors.ts";
import { openLocalState } from "../state/local/open.ts";
import type { LogWriter, State } from "../state/port.ts";
import { createJobLog } from "./job-log.ts";

const RUN = "11111111-1111-4111-8111-111111111111";

async function withLog(
  body: (params: { state: State; writer: LogWriter; read: () => Promise<[string, string][]> }) => Promise<void>,
): Promise<void> {
  const state = await openLocalState({ dataDir: tempFolder("data"), now: Date.now });
  const read = async () => {
    const found: [string, string][] = [];
    for (let offset = 0; ; ) {
      const page = await state.logs.read(RUN, "log", offset, 1_000_000);
      for (const { channel, bytes } of page.segments) found.push([channel, Buffer.from(bytes).toString()]);
      if (page.nextOffset === offset) return found;
      offset = page.nextOffset;
    }
  };
  try {
    await body({ state, writer: await state.logs.openWriter(RUN, "log"), read });
  } finally {
    await state.close();
  }
}

const options = { secrets: [], now: Date.now, onFailure: () => undefined };

test("what comes together is one append, in order; a lone line does not wait for more", async () => {
  await withLog(async ({ writer, read }) => {
    const appends: number[] = [];
    const counted = forwarding(writer, async (batch) => {
      appends.push(batch.length);
      await writer.append(batch);
    });
    const log = createJobLog({ ...options, writer: counted });
    await log.write("out", Buffer.from("one\n"));
    await log.write("out", Buffer.from("two\n"));
    await log.write("err", Buffer.from("three\n"));
    log.say("four");
    const text = async () => (await read()).map(([channel, part]) => `${channel} ${part}`).join("");
    await until("the lines", async () => (await text()).includes("four"));
    assert.match(await text(), /^out one\n(out )?two\nerr three\njob four\n$/);
    assert.ok(appends.length <= 2, `${appends.length} appends`);
    await log.write("out", Buffer.from("five\n"));
    await until("the lone line", async () => (await text()).endsWith("five\n"));
    await log.flush();
    assert.equal(log.offset, 24);
    assert.equal((await log.seal())?.finalOffset, 24);
  });
});

test("what comes until the writer's next append is due goes together; a flush and much of it do not wait", async () => {
  await withLog(async ({ writer, read }) => {
    let appends = 0;
    const costly = forwarding(writer, (batch) => {
      appends += 1;
      return writer.append(batch);
    });
    const log = createJobLog({ ...options, writer: { ...costly, due: () => new Promise(() => undefined) } });
    for (let number = 0; number < 5; number += 1) {
      await log.write("out", Buffer.from(`${number}\n`));
      await new Promise((resume) => setTimeout(resume, 30));
    }
    assert.equal(appends, 1);
    await log.write("out", Buffer.alloc(2_000_000, "x"));
    await until("the large batch", () => appends === 2);
    await log.write("out", Buffer.from("last\n"));
    await log.flush();
    assert.equal(appends, 3);
    assert.ok(
      (await read())
        .map(([, part]) => part)
        .join("")
        .endsWith("last\n"),
    );
  });
});

test("secrets are masked over chunk borders, in each channel by itself", async () => {
  await withLog(async ({ writer, read }) => {
    const log = createJobLog({ ...options, writer, secrets: ["hunter2"] });
    await log.write("out", Buffer.from("a hunt"));
    await log.write("err", Buffer.from("er2 hunter2 "));
    await log.write("out", Buffer.from("er2 b"));
    log.say("the job's hunter2");
    await log.flush();
    const text = (channel: string) =>
      read().then((all) => all.flatMap(([name, part]) => (name === channel ? [part] : [])).join(""));
    assert.deepEqual(
      [await text("out"), await text("err"), await text("job")],
      ["a ***** b", "er2 ***** ", "the job's *****\n"],
    );
  });
});

test("a writer that fails halfway is tried again: each byte is there once", async () => {
  await withLog(async ({ writer, read }) => {
    let failures = 3;
    const flaky = forwarding(writer, async (segments) => {
      if (failures-- <= 0) return writer.append(segments);
      const [first] = segments;
      if (first !== undefined) await writer.append([{ ...first, bytes: first.bytes.subarray(0, 2) }]);
      throw new AppError("disk_full", "No space.");
    });
    const log = createJobLog({ ...options, writer: flaky });
    await log.write("out", Buffer.from("abcdefgh"));
    await log.write("err", Buffer.from("ij"));
    await log.flush();
    assert.equal((await read()).map(([, text]) => text).join(""), "abcdefghij");
    assert.deepEqual((await read()).at(-1), ["err", "ij"]);
    assert.equal(log.failure, undefined);
  });
});

test("a stream that can't be written is given up with the reason, and blocks nobody", async () => {
  await withLog(async ({ writer }) => {
    const failures: AppError[] = [];
    const broken = forwarding(writer, () => Promise.reject(new AppError("disk_full", "No space is left.")));
    const log = createJobLog({
      ...options,
      writer: broken,
      retryMs: 50,
      onFailure: (failure) => failures.push(failure),
    });
    for (let i = 0; i < 20; i += 1) await log.write("out", Buffer.alloc(1_000_000));
    await log.flush();
    assert.deepEqual(
      failures.map(({ code }) => code),
      ["disk_full"],
    );
    assert.equal(log.failure, failures[0]);
    await log.write("out", Buffer.from("more"));
    assert.equal(await log.seal(), undefined);
  });
});

test("who writes faster than State takes it has to wait, and nothing is lost", async () => {
  await withLog(async ({ writer, read }) => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const slow = forwarding(writer, (batch) => gate.then(() => writer.append(batch)));
    const log = createJobLog({ ...options, writer: slow });
    let written = 0;
    const producer = (async () => {
      for (let i = 0; i < 20; i += 1) {
        await log.write("out", Buffer.alloc(1_000_000, i));
        written += 1;
      }
    })();
    await until("the producer's halt", () => written >= 5 || undefined);
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(written < 10, `${written} MB in memory`);
    open();
    await producer;
    await log.flush();
    assert.equal(
      (await read()).reduce((sum, [, text]) => sum + text.length, 0),
      20_000_000,
    );
  });
});

function forwarding(writer: LogWriter, append: LogWriter["append"]): LogWriter {
  return {
    get offset() {
      return writer.offset;
    },
    append,
    due: () => writer.due(),
    seal: () => writer.seal(),
    close: () => writer.close(),
  };
}
