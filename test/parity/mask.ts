/** What may differ between two runs of the same command is masked before their texts are compared; nothing else is. */
import { masked } from "../harness.ts";

/** Folders of one side, each with the name that stands for it on both. */
export type Places = Readonly<Record<string, string>>;

/** Masks times, durations, ids and the side's own folders in what dbt printed or wrote. */
export function maskText(text: string, places: Places): string {
  // the longest first: one may lie in another
  const folders = Object.entries(places).sort(([, a], [, b]) => b.length - a.length);
  const placed = folders.reduce((rest, [name, folder]) => rest.replaceAll(folder, `<${name}>`), text);
  return (
    masked(placed)
      .replace(/ at 0x[0-9a-f]+/g, " at <address>")
      .replace(/tmp[a-z0-9_]{8}\b/g, "<tmp>")
      .replace(/\bt_[0-9a-f]{12}\b/g, "<database>")
      // the relations that dbt makes on the way have the time in their names
      .replace(/__dbt_tmp\d{12,20}/g, "__dbt_tmp<time>")
      .replace(/\b\d+ seconds? ago\b/g, "<n> seconds ago")
  );
}

const VOLATILE_EVENT_KEYS: ReadonlySet<string> = new Set([
  "pid",
  "thread",
  "ts",
  "process_user_time",
  "process_kernel_time",
  "process_mem_max_rss",
  "process_in_blocks",
  "process_out_blocks",
]);

/** A line of `--log-format json` less process ids, threads and measurements; any other line as it is. */
export function maskLine(line: string, places: Places): string {
  if (!line.startsWith("{")) return maskText(line, places);
  try {
    const text = JSON.stringify(JSON.parse(line), (key, value: unknown) => {
      if (VOLATILE_EVENT_KEYS.has(key)) return "<masked>";
      return typeof value === "number" && !Number.isInteger(value) ? "<fraction>" : value;
    });
    return maskText(text, places);
  } catch {
    return maskText(line, places);
  }
}
