import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const SIZE = 100 * 1024 * 1024;
const MAX_RSS = 250 * 1024 * 1024;

/** Takes, packs, reads and restores in a process of its own, which prints how much memory it had at most. */
const PROGRAM = `
import { createReadStream, createWriteStream } from "node:fs";
import path from "node:path";
import { takeSnapshot } from "./take.ts";
import { writePack } from "./pack.ts";
import { readPack } from "./read-pack.ts";
import { bringTo } from "./restore.ts";
const [dir] = process.argv.slice(-1);
const projectDir = path.join(dir, "shop");
const snapshot = await takeSnapshot({ projectDir, cacheDir: undefined });
const inputs = snapshot.entries.map((entry) => ({ ...entry, get content() { return snapshot.open(entry); } }));
const packFile = path.join(dir, "p.tar.gz");
await writePack(inputs, createWriteStream(packFile), { level: 1 });
let bytes = 0;
const limits = { maxEntries: 10, maxBytes: 1e9, maxEntryBytes: 1e9 };
for await (const item of readPack(createReadStream(packFile), limits))
  for await (const chunk of item.content) bytes += chunk.length;
await bringTo({
  root: path.join(dir, "root"),
  indexFile: path.join(dir, "index.json"),
  next: snapshot.entries,
  source: (sha256) => ({
    read: async () => {
      const content = snapshot.open(snapshot.entries.find((entry) => entry.sha256 === sha256));
      return Buffer.isBuffer(content) ? (await import("node:stream")).Readable.from([content]) : content;
    },
  }),
});
console.log(JSON.stringify({ bytes, maxRss: process.resourceUsage().maxRSS * 1024 }));
`;

test("a seed of 100 MB passes through in pieces", (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), "big-seed-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(path.join(dir, "shop/seeds"), { recursive: true });
  writeFileSync(path.join(dir, "shop/dbt_project.yml"), "name: shop");
  const seed = openSync(path.join(dir, "shop/seeds/big.csv"), "w");
  const line = "1234567890,some text that is the same in each line,2026-01-01\n";
  const block = Buffer.from(line.repeat(20_000));
  for (let written = 0; written < SIZE; ) written += writeSync(seed, block);
  closeSync(seed);

  const here = path.dirname(fileURLToPath(import.meta.url));
  const child = spawnSync(process.execPath, ["--input-type=module-typescript", "-", dir], {
    cwd: here,
    input: PROGRAM,
    encoding: "utf8",
  });
  assert.equal(child.status, 0, child.stderr);
  const { bytes, maxRss } = JSON.parse(child.stdout) as { bytes: number; maxRss: number };
  t.diagnostic(`${Math.round(maxRss / 1024 / 1024)} MB at most`);
  const size = statSync(path.join(dir, "root/seeds/big.csv")).size;
  assert.ok(size >= SIZE);
  assert.equal(bytes, size + "name: shop".length);
  assert.ok(maxRss < MAX_RSS, `${maxRss} bytes`);
});
