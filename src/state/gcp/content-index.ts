/**
 * Which object holds which content, as this process knows it. Objects are named by the time at which they were made, so
 * what others have added is found by listing the newest names; what they have removed, by listing all of them anew.
 */
import { randomUUID } from "node:crypto";
import type { Storage, StoredObject } from "../../gcp/storage.ts";
import { type Member, membersOf, tableLength, tableOf } from "./content-pack.ts";
import { inParallel } from "./in-parallel.ts";

export const CONTENTS_PREFIX = "contents/";

/** An object that holds one content or many. */
export interface ContentObject {
  readonly name: string;
  readonly bytes: number;
  /** When it was made or touched last. */
  readonly modifiedAtMs: number;
  /** False for a large content, which is the object as it is. */
  readonly isPack: boolean;
  readonly members: ReadonlyMap<string, Member>;
}

export interface ContentIndex {
  /** Learns what others have added; at times also what they have removed. Not where that was done a short time ago. */
  refresh(maxAgeMs?: number): Promise<void>;
  /** Learns all of it anew. */
  reload(): Promise<void>;
  /** The objects that hold a content; more than one where it was sent twice at once. */
  holders(sha256: string): readonly ContentObject[];
  add(object: ContentObject): void;
  drop(name: string): void;
  /** All hashes, sorted. */
  hashes(): readonly string[];
}

/** An object whose upload takes long has a name older than itself. */
const LATE_MS = 60 * 60_000;
const RELOAD_AFTER_MS = 5 * 60_000;
const READ_AT_ONCE = 8;
const TIME_DIGITS = 13;

/** A name for a new object. */
export function newContentName(nowMs: number): string {
  return `${CONTENTS_PREFIX}${String(nowMs).padStart(TIME_DIGITS, "0")}-${randomUUID()}`;
}

const timeOf = (name: string): number => Number(name.slice(CONTENTS_PREFIX.length).split("-")[0]);

/** What an object holds, where its metadata tell. */
export function contentObject(stored: StoredObject, members: readonly Member[], isPack: boolean): ContentObject {
  const { name, size, modifiedAtMs } = stored;
  return { name, bytes: size, modifiedAtMs, isPack, members: new Map(members.map((each) => [each.sha256, each])) };
}

/** The metadata of a content that is an object by itself. */
export const fileMetadata = (sha256: string): Record<string, string> => ({ sha256 });

export function createContentIndex(storage: Storage, now: () => number): ContentIndex {
  const objects = new Map<string, ContentObject>();
  const byHash = new Map<string, ContentObject[]>();
  let sorted: string[] | undefined;
  let newestMs = 0;
  let reloadedAtMs: number | undefined;
  let listedAtMs = Number.NEGATIVE_INFINITY;
  /** Objects that were added while a listing was under way may not be in it. */
  let addedMeanwhile = new Set<string>();
  let running: Promise<void> | undefined;
  let next: { promise: Promise<void>; isFull: boolean } | undefined;

  function drop(name: string): void {
    const object = objects.get(name);
    if (object === undefined) return;
    objects.delete(name);
    for (const sha256 of object.members.keys()) {
      const left = (byHash.get(sha256) ?? []).filter((each) => each.name !== name);
      if (left.length > 0) byHash.set(sha256, left);
      else if (byHash.delete(sha256)) sorted = undefined;
    }
  }

  function add(object: ContentObject): void {
    drop(object.name);
    objects.set(object.name, object);
    addedMeanwhile.add(object.name);
    for (const sha256 of object.members.keys()) {
      const others = byHash.get(sha256);
      if (others === undefined) sorted = undefined;
      byHash.set(sha256, [...(others ?? []), object]);
    }
  }

  async function load(stored: StoredObject): Promise<void> {
    const known = objects.get(stored.name);
    if (known !== undefined) {
      if (known.modifiedAtMs < stored.modifiedAtMs) add({ ...known, modifiedAtMs: stored.modifiedAtMs });
      return;
    }
    const { sha256 } = stored.metadata;
    if (sha256 !== undefined) {
      const member = { sha256, offset: 0, length: stored.size, size: stored.size };
      return add(contentObject(stored, [member], false));
    }
    const length = tableLength(stored.metadata);
    // Not one of ours.
    if (length === undefined) return;
    const table = tableOf(stored.metadata) ?? (await storage.read(stored.name, { offset: 0, length }))?.bytes;
    if (table !== undefined) add(contentObject(stored, membersOf(table), true));
  }

  async function listObjects(isFull: boolean): Promise<void> {
    addedMeanwhile = new Set();
    const from = Math.max(0, newestMs - LATE_MS);
    const startOffset = CONTENTS_PREFIX + String(from).padStart(TIME_DIGITS, "0");
    const startedAtMs = now();
    const found = await storage.list({ prefix: CONTENTS_PREFIX, ...(!isFull && { startOffset }) });
    if (isFull) {
      const listed = new Set(found.map(({ name }) => name));
      for (const name of [...objects.keys()]) if (!listed.has(name) && !addedMeanwhile.has(name)) drop(name);
    }
    await inParallel(found, READ_AT_ONCE, load);
    newestMs = Math.max(newestMs, ...found.slice(-1).map(({ name }) => timeOf(name)));
    listedAtMs = startedAtMs;
    if (isFull) reloadedAtMs = startedAtMs;
  }

  /** One listing at a time; who comes while one is under way shares the next, which sees what was there when they came. */
  function list(isFull: boolean): Promise<void> {
    if (next !== undefined) {
      next.isFull ||= isFull;
      return next.promise;
    }
    if (running === undefined) {
      running = listObjects(isFull).finally(() => {
        running = undefined;
      });
      return running;
    }
    const waiting = { isFull, promise: Promise.resolve() };
    const start = (): Promise<void> => {
      next = undefined;
      return list(waiting.isFull);
    };
    waiting.promise = running.then(start, start);
    next = waiting;
    return waiting.promise;
  }

  return {
    async refresh(maxAgeMs = 0) {
      if (maxAgeMs > 0 && now() - listedAtMs < maxAgeMs) return;
      // Who comes first waits for the first listing together.
      if (reloadedAtMs === undefined) return running ?? list(true);
      return list(now() - reloadedAtMs > RELOAD_AFTER_MS);
    },
    reload: () => list(true),
    holders: (sha256) => byHash.get(sha256) ?? [],
    add,
    drop,
    hashes() {
      sorted ??= [...byHash.keys()].sort();
      return sorted;
    },
  };
}
