/** Order statistics for a handful of timings. */

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** Nearest rank; NaN for no values. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil((p / 100) * sorted.length));
  return p === 50 && sorted.length % 2 === 0 && sorted.length > 0
    ? ((sorted[sorted.length / 2 - 1] ?? Number.NaN) + (sorted[sorted.length / 2] ?? Number.NaN)) / 2
    : (sorted[rank - 1] ?? Number.NaN);
}

/** `1.23 (1.10–1.50)`: median with minimum and maximum. */
export function spread(values: readonly number[], digits = 2): string {
  if (values.length === 0) return "–";
  const show = (value: number) => value.toFixed(digits);
  return `${show(median(values))} (${show(Math.min(...values))}–${show(Math.max(...values))})`;
}
