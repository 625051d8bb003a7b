/**
 * Artifacts of runs: packs (`.tar.gz` made of many gzip members, each file's content one of its own) with an index by
 * path, so that a single file is served from a range of its pack.
 */
import { pipeline, type Readable } from "node:stream";
import { createGunzip, gunzipSync, gzipSync } from "node:zlib";
import { AppError } from "../core/errors.ts";
import type { State } from "./port.ts";
import { readAll } from "./read-all.ts";
import type { StoredEntry } from "./snapshots.ts";

export const ARTIFACTS = "artifacts";

/** A file of a pack: its content is the gzip member at `offset`, `length` bytes long. A link has none (0, 0). */
export interface PackedFile extends StoredEntry {
  readonly offset: number;
  readonly length: number;
}

export interface Artifact extends PackedFile {
  /** Name of the pack that holds it. */
  readonly pack: string;
}

export interface PackRecord {
  readonly name: string;
  /** Of the compressed pack. */
  readonly bytes: number;
  readonly count: number;
}

export interface ArtifactsRecord {
  readonly runId: string;
  /** In the order in which they came: where a path is in several, the last counts. */
  readonly packs: readonly PackRecord[];
  /** Path of the manifest.json that this run wrote. */
  readonly manifestPath: string | null;
}

export interface PutPackParams {
  readonly runId: string;
  /** Such as `target`; part of a blob's name. */
  readonly name: string;
  readonly content: Uint8Array | Readable;
  /** Read once `content` has ended, so it may fill meanwhile. */
  readonly index: readonly PackedFile[];
  /** Path of the manifest.json among them, if this run wrote one. */
  readonly manifestPath?: string | null;
}

export interface ArtifactStore {
  /** Keeps a pack for good; one of that name which is complete already stays. One writer per run. */
  putPack(params: PutPackParams): Promise<void>;
  /** All files by path, sorted; empty as long as there are none. */
  list(runId: string): Promise<Artifact[]>;
  /** The content of one file, decompressed. Throws `artifact_not_found`. */
  open(runId: string, path: string): Promise<{ readonly artifact: Artifact; readonly content: Readable }>;
  /** A pack as it was put. Throws `artifact_not_found`. */
  openPack(runId: string, name: string): Promise<{ readonly bytes: number; readonly content: Readable }>;
  /** Where a pack can be downloaded from State itself; undefined where State has no such addresses. */
  packUrl(runId: string, name: string, fileName: string): Promise<string | undefined>;
  get(runId: string): Promise<ArtifactsRecord | undefined>;
  watch(runId: string, onChange: () => void): () => void;
}

/** Where all blobs of a run lie. */
export function runBlobs(runId: string): string {
  return `runs/${runId}/`;
}

const packBlob = (runId: string, name: string): string => `${runBlobs(runId)}${name}.tar.gz`;
const indexBlob = (runId: string, name: string): string => `${runBlobs(runId)}${name}.index.json.gz`;

export function createArtifactStore({ records, blobs }: Pick<State, "records" | "blobs">): ArtifactStore {
  const get = async (runId: string) => (await records.get<ArtifactsRecord>(ARTIFACTS, runId))?.data;

  function notFound(runId: string, what: string): AppError {
    return new AppError("artifact_not_found", `Run ${runId} has no artifact ${what}.`, {
      hint: `See what it has with: dbt-remote artifacts ${runId}`,
    });
  }

  /** Puts a blob in place of one that an attempt cut short left behind. */
  async function replace(name: string, content: Uint8Array | Readable): Promise<void> {
    await blobs.remove(name);
    await blobs.put(name, content);
  }

  async function readIndex(runId: string, { name }: PackRecord): Promise<Artifact[]> {
    const content = await blobs.read(indexBlob(runId, name));
    if (content === undefined) {
      throw new AppError("state_corrupt", `The index of pack ${name} of run ${runId} is gone.`, {
        hint: `Its files can no longer be read; forget them with the run: dbt-server gc`,
      });
    }
    const files = JSON.parse(gunzipSync(await readAll(content)).toString("utf8")) as PackedFile[];
    return files.map((file) => ({ ...file, pack: name }));
  }

  async function list(runId: string): Promise<Artifact[]> {
    const found = await get(runId);
    const byPath = new Map<string, Artifact>();
    for (const pack of found?.packs ?? []) {
      for (const artifact of await readIndex(runId, pack)) byPath.set(artifact.path, artifact);
    }
    return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async function openPack(runId: string, name: string) {
    const pack = (await get(runId))?.packs.find((candidate) => candidate.name === name);
    const content = pack === undefined ? undefined : await blobs.read(packBlob(runId, name));
    if (pack === undefined || content === undefined) throw notFound(runId, `${name}.tar.gz`);
    return { bytes: pack.bytes, content };
  }

  return {
    async putPack({ runId, name, content, index, manifestPath = null }) {
      const before = await records.get<ArtifactsRecord>(ARTIFACTS, runId);
      if (before?.data.packs.some((pack) => pack.name === name)) return;
      await replace(packBlob(runId, name), content);
      await replace(indexBlob(runId, name), gzipSync(JSON.stringify(index)));
      const stored = await blobs.stat(packBlob(runId, name));
      const pack: PackRecord = { name, bytes: stored?.size ?? 0, count: index.length };
      // The record is what makes the pack exist. One writer, so it can't have changed meanwhile.
      await records.put<ArtifactsRecord>(ARTIFACTS, runId, {
        runId,
        packs: [...(before?.data.packs ?? []), pack],
        manifestPath: manifestPath ?? before?.data.manifestPath ?? null,
      });
    },
    list,
    async open(runId, path) {
      const artifact = (await list(runId)).find((candidate) => candidate.path === path);
      if (artifact === undefined) throw notFound(runId, path);
      if (artifact.length === 0) throw notFound(runId, `${path} by itself: it is a link, take the whole pack`);
      const { offset, length } = artifact;
      const member = await blobs.read(packBlob(runId, artifact.pack), { offset, length });
      if (member === undefined) throw notFound(runId, path);
      // An error of the source destroys what the caller reads.
      const content = pipeline(member, createGunzip(), () => {});
      return { artifact, content };
    },
    openPack,
    packUrl: (runId, name, fileName) => blobs.downloadUrl(packBlob(runId, name), fileName),
    get,
    watch: (runId, onChange) => records.watch(ARTIFACTS, runId, onChange),
  };
}
