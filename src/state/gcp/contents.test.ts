import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { openGcpStates } from "../../../test/gcp-states.ts";
import type { ContentStore, IncomingContent } from "../port.ts";

interface File extends IncomingContent {
  readonly content: Buffer;
}

function fileOf(content: Buffer): File {
  return { sha256: createHash("sha256").update(content).digest("hex"), size: content.length, content };
}

const modelFile = (number: number): File => fileOf(Buffer.from(`select ${number} as id\n`.repeat(20 + (number % 40))));

async function* incoming(files: readonly File[]): AsyncGenerator<IncomingContent> {
  yield* files;
}

async function contentOf(contents: ContentStore, sha256: string): Promise<Buffer | undefined> {
  const stream: Readable | undefined = await contents.read(sha256);
  if (stream === undefined) return undefined;
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

const LATER = (): number => Date.now() + 60_000;

test("thousands of small files are few objects, and are read with few requests", async (context) => {
  const [sender, reader] = (await openGcpStates(context, 2)) ?? [];
  if (sender === undefined || reader === undefined) return;
  const files = [...Array.from({ length: 2_000 }, (_, number) => modelFile(number)), fileOf(randomBytes(2_000_000))];
  const hashes = files.map(({ sha256 }) => sha256);
  assert.equal((await sender.state.contents.missing(hashes)).length, files.length);
  assert.equal(await sender.state.contents.putMany(incoming(files)), files.length);
  assert.deepEqual(await sender.state.contents.missing(hashes), []);
  const { objectWrites, objectLists, objectBytes } = sender.use.counts();
  assert.ok(objectWrites <= 3 && objectLists <= 2, JSON.stringify({ objectWrites, objectLists }));
  // Nothing of it twice, and the small ones compressed.
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  assert.ok(objectBytes < bytes, `${objectBytes} of ${bytes}`);
  // Known to all: what is asked for next costs nothing.
  await sender.state.contents.missing(hashes);
  assert.equal(sender.use.counts().objectLists, objectLists);
  assert.deepEqual(await reader.state.contents.missing(hashes), []);
  for (const { sha256, content } of files) assert.ok((await contentOf(reader.state.contents, sha256))?.equals(content));
  const read = reader.use.counts();
  assert.ok(read.objectReads <= 4 && read.objectLists === 1, JSON.stringify(read));
});

test("a small change is one object, known from the listing alone", async (context) => {
  const [sender, reader] = (await openGcpStates(context, 2)) ?? [];
  if (sender === undefined || reader === undefined) return;
  for (let number = 0; number < 5; number += 1) {
    await sender.state.contents.putMany(incoming([modelFile(number), modelFile(number + 100)]));
  }
  assert.equal(sender.use.counts().objectWrites, 5);
  assert.deepEqual(await reader.state.contents.missing([modelFile(3).sha256, modelFile(104).sha256]), []);
  const { objectReads, objectLists } = reader.use.counts();
  assert.deepEqual([objectReads, objectLists], [0, 1]);
});

test("what another process removed is not taken for there", async (context) => {
  const [one, other] = (await openGcpStates(context, 2)) ?? [];
  if (one === undefined || other === undefined) return;
  const files = Array.from({ length: 4 }, (_, number) => modelFile(number));
  const hashes = files.map(({ sha256 }) => sha256);
  await one.state.contents.putMany(incoming(files));
  assert.deepEqual(await other.state.contents.missing(hashes), []);
  // The larger part goes, the rest is written anew.
  const gone = hashes.slice(0, 3);
  assert.deepEqual((await one.state.contents.removeMany(gone, LATER())).sort(), [...gone].sort());
  // What the other process believes to be there is looked for elsewhere once it is wanted.
  assert.ok((await contentOf(other.state.contents, hashes[3] ?? ""))?.equals(files[3]?.content ?? Buffer.alloc(0)));
  assert.equal(await contentOf(other.state.contents, hashes[0] ?? ""), undefined);
  assert.deepEqual(await other.state.contents.missing(hashes), gone);
});

test("a pack of which little would go stays, until more goes", async (context) => {
  const [one] = (await openGcpStates(context, 1)) ?? [];
  if (one === undefined) return;
  const { contents } = one.state;
  const files = Array.from({ length: 10 }, () => fileOf(randomBytes(500)));
  const hashes = files.map(({ sha256 }) => sha256);
  await contents.putMany(incoming(files));
  assert.deepEqual(await contents.removeMany(hashes.slice(0, 2), LATER()), []);
  assert.equal((await contents.removeMany(hashes.slice(0, 7), LATER())).length, 7);
  assert.deepEqual(
    (await contents.list()).map(({ name }) => name),
    hashes.slice(7).sort(),
  );
  assert.equal((await one.storage.list({ prefix: "contents/" })).length, 1);
  assert.equal((await contents.removeMany(hashes, LATER())).length, 3);
  assert.deepEqual(await one.storage.list({ prefix: "contents/" }), []);
});

test("an upload of more parts than one compose takes becomes one object", async (context) => {
  const [one, other] = (await openGcpStates(context, 2)) ?? [];
  if (one === undefined || other === undefined) return;
  const file = fileOf(randomBytes(70 * 100));
  for (let offset = 0; offset < file.size; offset += 100) {
    await one.state.contents.appendUpload(file.sha256, offset, file.content.subarray(offset, offset + 100));
  }
  await other.state.contents.finishUpload(file.sha256);
  assert.ok((await contentOf(one.state.contents, file.sha256))?.equals(file.content));
  const left = await one.storage.list({ prefix: "" });
  assert.deepEqual(
    left.map(({ name }) => name.split("/")[0]),
    ["contents"],
  );
});
