/** Keys of what is cached: nobody can tell from one, not even by trying, which values it was made of. */
import { createHmac, randomBytes } from "node:crypto";
import type { Json, RecordStore } from "./port.ts";

export type CacheKey = (...parts: readonly Json[]) => Promise<string>;

const COLLECTION = "cache-keys";
const KEY = "secret";

interface Secret {
  readonly base64: string;
}

/** All of one State make the same key of the same parts, and those of another State another one. */
export function createCacheKeys(records: RecordStore): CacheKey {
  let secret: Promise<Buffer> | undefined;

  async function load(): Promise<Buffer> {
    const found = await records.get<Secret>(COLLECTION, KEY);
    const fresh: Secret = { base64: randomBytes(32).toString("base64") };
    const kept =
      found ?? (await records.create(COLLECTION, KEY, fresh)) ?? (await records.get<Secret>(COLLECTION, KEY));
    return Buffer.from(kept?.data.base64 ?? fresh.base64, "base64");
  }

  return async (...parts) => {
    secret ??= load();
    return createHmac("sha256", await secret)
      .update(JSON.stringify(parts))
      .digest("hex");
  };
}
