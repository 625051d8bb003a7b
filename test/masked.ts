/** Makes two outputs of the same command comparable. */

export interface MaskOptions {
  /** Folders that stand for the project's root, each shown as `<root>`. */
  readonly roots?: readonly string[];
}

const ids = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi;
const timestamps = /\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?/g;
// No word border in front: a colour code ends in `m`.
const clocks = /(?<!\d)\d\d:\d\d:\d\d(?:\.\d+)?\b/g;
// dbt's own words for how long something took: "in 1.23s", "(1.23s)", "0 hours 0 minutes and 1.23 seconds".
const spans = /\b\d+ hours? \d+ minutes? and \d+(?:\.\d+)? seconds?/g;
const seconds = /\b\d+\.\d+(?: ?s\b| seconds?\b)/g;
const filledDots = /\.{3,}( ?\[)/g;

/** Masks times, durations, ids and the project's root; the dots that pad a line to a width go with the duration. */
export function masked(text: string, options: MaskOptions = {}): string {
  // The longest first: a root may lie in another.
  const roots = [...(options.roots ?? [])].filter((path) => path !== "").sort((a, b) => b.length - a.length);
  const rooted = roots.reduce((rest, path) => rest.replaceAll(path, "<root>"), text);
  return rooted
    .replace(ids, "<id>")
    .replace(timestamps, "<timestamp>")
    .replace(clocks, "<time>")
    .replace(spans, "<duration>")
    .replace(seconds, "<duration>")
    .replace(filledDots, "...$1");
}
