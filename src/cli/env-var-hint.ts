/** Watches what dbt prints for a variable that it lacks, to say afterwards how to send it. */

/** dbt's own words since 1.0; the name may be split over two pieces of output. */
const MISSING = /Env var required but not provided: '([A-Za-z_][A-Za-z0-9_]*)'/g;
const TAIL = 120;

export interface EnvVarHint {
  watch(bytes: Uint8Array): void;
  /** Names that dbt missed. */
  missing(): string[];
}

export function watchMissingEnvVars(): EnvVarHint {
  const names = new Set<string>();
  let tail = "";
  return {
    watch: (bytes) => {
      const text = tail + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
      if (text.includes("Env var")) for (const [, name] of text.matchAll(MISSING)) names.add(name ?? "");
      tail = text.slice(-TAIL);
    },
    missing: () => [...names],
  };
}
