/** Makes one object of any number of others, without their bytes coming here. */
import { randomUUID } from "node:crypto";
import { MAX_SOURCES, type Storage, type StoredObject } from "../../gcp/storage.ts";
import { inParallel } from "./in-parallel.ts";

/** Where half-way results lie for a moment. */
export const JOINS_PREFIX = "joins/";
const AT_ONCE = 4;

export interface Join {
  readonly name: string;
  /** In order; they stay. */
  readonly sources: readonly string[];
  readonly metadata: Record<string, string>;
}

export async function joinObjects(storage: Storage, { name, sources, metadata }: Join): Promise<StoredObject> {
  const folder = `${JOINS_PREFIX}${randomUUID()}/`;
  const halfWay: string[] = [];
  let level: readonly string[] = sources;
  while (level.length > MAX_SOURCES) {
    const groups = inGroups(level, MAX_SOURCES).map((names) => ({ names, joined: `${folder}${halfWay.length + 1}` }));
    for (const [position, group] of groups.entries()) group.joined += `-${position}`;
    await inParallel(groups, AT_ONCE, ({ names, joined }) => storage.compose(joined, names, {}));
    level = groups.map(({ joined }) => joined);
    halfWay.push(...level);
  }
  const object = await storage.compose(name, level, metadata);
  await inParallel(halfWay, AT_ONCE, (each) => storage.remove(each));
  return object;
}

/** The items in their order, so many together. */
export function inGroups<T>(items: readonly T[], size: number): T[][] {
  const groups: T[][] = [];
  for (let at = 0; at < items.length; at += size) groups.push(items.slice(at, at + size));
  return groups;
}
