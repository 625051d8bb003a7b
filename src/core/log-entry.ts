/** One line of JSON as Google Cloud makes an entry of its log of it, when a program prints it. Pure. */

export type Severity = "DEBUG" | "INFO" | "NOTICE" | "WARNING" | "ERROR";

export interface LogEntry {
  readonly severity: Severity;
  readonly message: string;
  /** ISO 8601; default: when it is received. */
  readonly time?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** 32 hex digits that everything which belongs together has in common. */
  readonly traceId?: string | undefined;
  /** Needed for the trace to be linked. */
  readonly projectId?: string | undefined;
  /** Further fields of the entry's payload; without them it would be plain text, which has no labels of ours. */
  readonly fields: Readonly<Record<string, string | number | boolean | null>>;
}

/** Google takes 256 KB; what it adds itself (resource, names, times) has to fit in too. */
const MAX_LINE_BYTES = 240 * 1024;
/** Of anything but the message. */
const MAX_FIELD_LENGTH = 1_000;

/** The line, without its end; a message that is too long is shortened, and says so. */
export function logLine(entry: LogEntry): string {
  const line = render(entry, entry.message);
  const bytes = Buffer.byteLength(line);
  if (bytes <= MAX_LINE_BYTES) return line;
  const all = Buffer.byteLength(entry.message);
  for (let keep = Math.floor((entry.message.length * MAX_LINE_BYTES) / bytes); ; keep = Math.floor(keep * 0.9)) {
    const shortened = render(entry, `${whole(entry.message.slice(0, keep))}… [shortened: ${all} bytes in all]`);
    if (keep === 0 || Buffer.byteLength(shortened) <= MAX_LINE_BYTES) return shortened;
  }
}

function render({ severity, time, labels, traceId, projectId, fields }: LogEntry, message: string): string {
  const trace = projectId === undefined ? traceId : `projects/${projectId}/traces/${traceId}`;
  return JSON.stringify({
    severity,
    message,
    ...(time !== undefined && { time }),
    ...shortened(fields),
    "logging.googleapis.com/labels": shortened(labels),
    ...(traceId !== undefined && { "logging.googleapis.com/trace": trace }),
  });
}

function shortened<T>(values: Readonly<Record<string, T>>): Record<string, T | string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      typeof value === "string" && value.length > MAX_FIELD_LENGTH ? `${value.slice(0, MAX_FIELD_LENGTH)}…` : value,
    ]),
  );
}

/** Without the first half of a pair of surrogates at its end. */
function whole(text: string): string {
  return /[\ud800-\udbff]$/.test(text) ? text.slice(0, -1) : text;
}

/** The trace of everything that concerns a run. */
export function traceOfRun(runId: string): string {
  return runId.replaceAll("-", "").toLowerCase();
}

/** What finds all entries of a run in Logs Explorer; `since` (ISO 8601) lets it look no further back. */
export function logsQuery(runId: string, since: string): string {
  return `labels.run_id="${runId}"\ntimestamp>="${since}"`;
}

/** Logs Explorer, with that query. */
export function logsExplorerUrl(projectId: string, runId: string, since: string): string {
  const query = encodeURIComponent(logsQuery(runId, since));
  return `https://console.cloud.google.com/logs/query;query=${query}?project=${encodeURIComponent(projectId)}`;
}
