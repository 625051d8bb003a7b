/** Packs for the tests of writing and reading them. */
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { type PackIndex, type PackInput, packStream } from "../src/snapshot/pack.ts";
import { type PackLimits, readPack } from "../src/snapshot/read-pack.ts";

/** Wide enough for every pack of a test. */
export const LIMITS: PackLimits = { maxEntries: 10_000, maxBytes: 100_000_000, maxEntryBytes: 50_000_000 };

/** A file to be packed. */
export const file = (name: string, text: string | Buffer, mode: "100644" | "100755" = "100644"): PackInput => {
  const content = Buffer.from(text);
  return { path: name, mode, size: content.length, content };
};

/** A link to be packed. */
export const link = (name: string, text: string): PackInput => ({
  path: name,
  mode: "120000",
  size: Buffer.byteLength(text),
  content: Buffer.from(text),
});

/** The pack of these files. */
export async function bytesOf(inputs: readonly PackInput[]): Promise<{ bytes: Buffer; index: PackIndex }> {
  const { stream, index } = packStream(inputs);
  return { bytes: Buffer.concat(await stream.toArray()), index };
}

/** What a pack holds: `path mode` to a link's text, or to the bytes as Latin-1. */
export async function unpack(bytes: Buffer | Readable, limits = LIMITS): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const source = Buffer.isBuffer(bytes) ? Readable.from([bytes]) : bytes;
  for await (const item of readPack(source, limits))
    found.set(`${item.path} ${item.mode}`, item.link ?? (await item.bytes()).toString("latin1"));
  return found;
}

const long = `${"folder/".repeat(30)}${"x".repeat(150)}.sql`;
/** Everything that a pack may hold. */
export const SAMPLE: PackInput[] = [
  { ...file("target/manifest.json", "{}"), mtimeMs: 1_700_000_000_000 },
  file("empty", ""),
  file("scripts/run.sh", "#!/bin/sh", "100755"),
  file("models/ünï/😀 b.sql", "select 'é'"),
  file(long, "long"),
  file(`${"d".repeat(99)}/${"e".repeat(99)}/f`, "medium"),
  link("a-link", "models/ünï/😀 b.sql"),
  link("deep/link", `../${long}`),
  file("block", "b".repeat(512)),
  file("big", randomBytes(3_000_000)),
];
