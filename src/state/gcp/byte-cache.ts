/** Contents of objects that never change, the last used ones up to a number of bytes. */
export interface ByteCache {
  /** What `load` brings, once for all who ask at the same time; what is absent is not remembered. */
  get(key: string, load: () => Promise<Buffer | undefined>): Promise<Buffer | undefined>;
  set(key: string, bytes: Buffer): void;
  clear(prefix: string): void;
}

export function createByteCache(maxBytes: number): ByteCache {
  const kept = new Map<string, Buffer>();
  const loading = new Map<string, Promise<Buffer | undefined>>();
  let size = 0;

  function forget(key: string): void {
    size -= kept.get(key)?.length ?? 0;
    kept.delete(key);
  }

  function set(key: string, bytes: Buffer): void {
    forget(key);
    if (bytes.length > maxBytes) return;
    kept.set(key, bytes);
    size += bytes.length;
    for (const oldest of kept.keys()) {
      if (size <= maxBytes) break;
      forget(oldest);
    }
  }

  return {
    set,
    async get(key, load) {
      const found = kept.get(key);
      if (found !== undefined) {
        // The last used is the last to go.
        kept.delete(key);
        kept.set(key, found);
        return found;
      }
      const underWay = loading.get(key);
      if (underWay !== undefined) return underWay;
      const loaded = load().finally(() => loading.delete(key));
      loading.set(key, loaded);
      const bytes = await loaded;
      if (bytes !== undefined) set(key, bytes);
      return bytes;
    },
    clear(prefix) {
      for (const key of [...kept.keys()]) if (key.startsWith(prefix)) forget(key);
    },
  };
}
