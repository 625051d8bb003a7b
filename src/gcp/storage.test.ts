import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import { emulatorsMissing, gcpPlace } from "../../test/emulators.ts";
import { type SeenRequest, type StandInAnswer, startHttpStandIn } from "../../test/http-stand-in.ts";
import { requirePart } from "../../test/require.ts";
import { AppError } from "../core/errors.ts";
import { createRest } from "./rest.ts";
import { createStorage, type Storage } from "./storage.ts";

const retry = { giveUpAfterMs: 5_000, firstPauseMs: 5, maxPauseMs: 20 };
const PART = 8 * 1024 * 1024;

/** A storage on the emulator whose `fetch` the test may bend. */
async function onEmulator(context: TestContext, bend: (send: typeof fetch) => typeof fetch = (send) => send) {
  const reason = emulatorsMissing();
  if (!requirePart(context, "Google's emulators", reason === undefined, reason ?? "")) return undefined;
  const { env, bucket } = await gcpPlace();
  return createStorage({ rest: createRest({ retry, fetch: bend(fetch) }), bucket, baseUrl: env.STORAGE_EMULATOR_HOST });
}

async function onStandIn(
  answer: (request: SeenRequest, number: number) => StandInAnswer,
  body: (storage: Storage, seen: readonly SeenRequest[], url: string) => Promise<void>,
): Promise<void> {
  const server = await startHttpStandIn(answer);
  try {
    const storage = createStorage({ rest: createRest({ retry }), bucket: "b", baseUrl: server.url });
    await body(storage, server.seen, server.url);
  } finally {
    await server.close();
  }
}

test("a put whose answer was lost is known for its own, another's is not", async (context) => {
  let lost = 0;
  const storage = await onEmulator(context, (send) => async (url, init) => {
    const response = await send(url, init);
    if (init?.method !== "POST" || lost > 0) return response;
    lost += 1;
    await response.arrayBuffer();
    throw new TypeError("fetch failed");
  });
  if (storage === undefined) return;
  const put = await storage.put("a", Buffer.from("one"), { onlyNew: true, metadata: { k: "v" } });
  assert.equal(lost, 1);
  assert.equal(put?.metadata["k"], "v");
  assert.equal(await storage.put("a", Buffer.from("two"), { onlyNew: true }), undefined);
  assert.equal((await storage.read("a"))?.bytes.toString(), "one");
});

test("large objects go in parts, and come back whole and in ranges", async (context) => {
  const storage = await onEmulator(context);
  if (storage === undefined) return;
  const bytes = randomBytes(2 * PART + 12_345);
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += 1_000_000) yield bytes.subarray(at, at + 1_000_000);
  }
  assert.equal((await storage.put("large", chunks()))?.size, bytes.length);
  const parts: Buffer[] = [];
  for await (const part of (await storage.stream("large")) ?? []) parts.push(part as Buffer);
  assert.ok(Buffer.concat(parts).equals(bytes));
  const range = await storage.read("large", { offset: PART - 5, length: 10 });
  assert.deepEqual(range?.bytes, bytes.subarray(PART - 5, PART + 5));
});

test("a part of which only some was kept is sent on from there, and one that failed again", async () => {
  const kept: Buffer[] = [];
  let rejected = 0;
  const answer = ({ method, url, headers, body }: SeenRequest, number: number): StandInAnswer => {
    if (method === "POST") return { headers: { location: `http://${headers["host"]}/session` } };
    assert.equal(url, "/session");
    if (number === 3 && rejected === 0) {
      rejected += 1;
      return { status: 503 };
    }
    const [, first, total] = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(String(headers["content-range"])) ?? [];
    const size = kept.reduce((sum, each) => sum + each.length, 0);
    if (body.length > 0) assert.equal(Number(first), size);
    kept.push(body.length > 1_000_000 ? body.subarray(0, 1_000_000) : body);
    const now = kept.reduce((sum, each) => sum + each.length, 0);
    if (total !== "*" && now === Number(total)) return { body: { name: "large", size: String(now), updated: "x" } };
    return { status: 308, headers: { range: `bytes=0-${now - 1}` } };
  };
  const bytes = randomBytes(PART + 3_000_000);
  await onStandIn(answer, async (storage) => {
    assert.equal((await storage.put("large", bytes))?.size, bytes.length);
    assert.ok(Buffer.concat(kept).equals(bytes));
    assert.equal(rejected, 1);
  });
});

test("a source that breaks leaves no object, and the session is given up", async () => {
  const answer = ({ method, headers }: SeenRequest): StandInAnswer => {
    if (method === "POST") return { headers: { location: `http://${headers["host"]}/session` } };
    if (method === "DELETE") return { status: 499 };
    return { status: 308, headers: { range: `bytes=0-${PART - 1}` } };
  };
  async function* broken() {
    yield randomBytes(PART + 1);
    throw new Error("the sender went away");
  }
  await onStandIn(answer, async (storage, seen) => {
    await assert.rejects(storage.put("large", broken()), /the sender went away/);
    assert.equal(seen.at(-1)?.method, "DELETE");
    assert.ok(seen.every(({ headers }) => !String(headers["content-range"] ?? "").match(/\/\d/)));
  });
});

test("a stream goes on where the connection broke, in the same generation", async () => {
  const bytes = randomBytes(100_000);
  const answer = ({ headers, url }: SeenRequest, number: number): StandInAnswer => {
    const from = Number(/bytes=(\d+)-/.exec(String(headers["range"] ?? ""))?.[1] ?? 0);
    if (number > 1) assert.match(url, /generation=77/);
    const fault = number < 4 ? ({ fault: "cut-body" } as const) : {};
    return {
      ...{ status: from === 0 ? 200 : 206, headers: { "x-goog-generation": "77" } },
      body: bytes.subarray(from),
      ...fault,
    };
  };
  await onStandIn(answer, async (storage, seen) => {
    const parts: Buffer[] = [];
    for await (const part of (await storage.stream("x")) ?? []) parts.push(part as Buffer);
    assert.ok(Buffer.concat(parts).equals(bytes));
    assert.equal(seen.length, 4);
  });
});

test("no bucket is a failure with the cure, not an absent object", async () => {
  const noBucket = { error: { code: 404, message: "The specified bucket does not exist." } };
  await onStandIn(
    () => ({ status: 404, body: noBucket }),
    async (storage) => {
      const isTold = (error: unknown) => {
        assert.ok(error instanceof AppError && error.code === "state_unavailable");
        assert.match(error.hint ?? "", /buckets create gs:\/\/b/);
        return true;
      };
      await assert.rejects(storage.stat("x"), isTold);
      await assert.rejects(storage.read("x"), isTold);
      await assert.rejects(storage.stream("x"), isTold);
      await assert.rejects(storage.remove("x"), isTold);
      await assert.rejects(storage.put("x", Buffer.from("y")), isTold);
    },
  );
  await onStandIn(
    () => ({ status: 404, body: { error: { code: 404, message: "No such object: b/x" } } }),
    async (storage) => {
      assert.equal(await storage.stat("x"), undefined);
      assert.equal(await storage.read("x"), undefined);
      assert.equal(await storage.stream("x"), undefined);
      assert.equal(await storage.remove("x"), false);
    },
  );
});

test("removal tells a changed object from a removed one", async () => {
  const statuses = [412, 503, 404];
  await onStandIn(
    (_, number) => ({ status: statuses[number - 1] ?? 204 }),
    async (storage, seen) => {
      assert.equal(await storage.remove("x", { generation: "5", metageneration: "2" }), false);
      assert.match(seen[0]?.url ?? "", /ifGenerationMatch=5&ifMetagenerationMatch=2/);
      // The attempt that got no answer may have been the one that removed it.
      assert.equal(await storage.remove("x"), true);
    },
  );
});
