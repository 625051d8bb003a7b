/**
 * What happens in a run, as lines of JSON on the job's own output, of which Google Cloud makes entries of its log: dbt's
 * events from info on, every node's start and finish, what dbt prints on stderr, and the job's own lines.
 */
import { StringDecoder } from "node:string_decoder";
import { stripVTControlCharacters } from "node:util";
import { type LogEntry, logLine, type Severity, traceOfRun } from "../core/log-entry.ts";
import type { Run } from "../core/run.ts";
import { createScrubber, type Scrubber } from "../core/scrub.ts";
import { type DbtEvent, type EventLevel, parseEvent } from "../dbt/events.ts";
import type { JobLog } from "./job-log.ts";

export interface CloudLogParams {
  readonly run: Pick<Run, "id" | "number" | "verb" | "workspace" | "target">;
  readonly projectId: string | undefined;
  readonly secrets: readonly string[];
  /** Whether dbt's debug events are told as well. */
  readonly debug: boolean;
  /** Takes a line with its end. */
  readonly print: (line: string) => void;
}

/** What a stream of the run passes through on its way to State. */
export interface CloudLog {
  /** The streams, every byte of which is told as well. */
  readonly tap: (streams: { readonly log: JobLog; readonly events: JobLog }) => { log: JobLog; events: JobLog };
}

const SEVERITIES: Readonly<Record<EventLevel, Severity>> = {
  debug: "DEBUG",
  info: "INFO",
  warn: "WARNING",
  error: "ERROR",
};
const NODE_EVENTS: ReadonlySet<string> = new Set(["NodeStart", "NodeFinished"]);
/** dbt's own words for how a node ended. */
const BAD: ReadonlySet<string> = new Set(["error", "fail", "runtime error", "partial success"]);
/** A line of a program that prints no line's end must not be kept for ever. */
const MAX_PENDING_LENGTH = 1024 * 1024;

export function createCloudLog({ run, projectId, secrets, debug, print }: CloudLogParams): CloudLog {
  const scrubber = createScrubber(secrets);
  const common: Record<string, string> = {
    run_id: run.id,
    run_number: String(run.number),
    workspace: run.workspace.slice(0, 16),
    ...(run.target !== null && { target: run.target }),
  };

  function tell(entry: Pick<LogEntry, "severity" | "message" | "fields"> & { time?: string; labels?: object }): void {
    const message = scrubber.scrubText(stripVTControlCharacters(entry.message)).trimEnd();
    if (message === "") return;
    const line = logLine({
      ...{ ...entry, message, projectId, traceId: traceOfRun(run.id) },
      labels: { ...common, ...entry.labels },
      fields: { runId: run.id, command: run.verb, ...entry.fields },
    });
    // Once more as a whole: a name, too, may hold what nobody is to see.
    print(`${scrubber.scrubText(line)}\n`);
  }

  function tellEvent(line: string): void {
    const event = parseEvent(line);
    if (event === null) return;
    const isNode = NODE_EVENTS.has(event.name);
    if (event.level === "debug" && !isNode && !debug) return;
    const { node } = event;
    tell({
      severity: severityOf(event),
      message: event.msg,
      ...(event.ts !== "" && { time: event.ts }),
      labels: { source: "dbt", event: event.name, ...(node && { node_id: node.uniqueId }) },
      fields: {
        ...{ event: event.name, code: event.code, thread: event.thread },
        ...(node && { nodeId: node.uniqueId, status: node.status }),
        ...(event.result && { status: event.result.status, executionSeconds: event.result.executionSeconds }),
      },
    });
  }

  const source = (severity: Severity, name: string) => (line: string) =>
    tell({ severity, message: line, labels: { source: name }, fields: { source: name } });

  return {
    tap({ log, events }) {
      const readers = {
        out: undefined,
        err: lineReader(source("WARNING", "dbt-stderr"), createScrubber(secrets)),
        job: lineReader(source("INFO", "job"), createScrubber(secrets)),
      };
      const eventLines = lineReader(tellEvent);
      return {
        log: tapped(log, {
          write: (channel, bytes) => readers[channel]?.push(bytes),
          say: (text) => readers.job.push(Buffer.from(text.endsWith("\n") ? text : `${text}\n`)),
          end: () => {
            readers.err.end();
            readers.job.end();
          },
        }),
        events: tapped(events, { write: (_, bytes) => eventLines.push(bytes), end: eventLines.end }),
      };
    },
  };
}

function severityOf({ name, level, node, result }: DbtEvent): Severity {
  if (name === "NodeStart") return "INFO";
  if (name !== "NodeFinished") return SEVERITIES[level];
  const status = (result?.status ?? node?.status ?? "").toLowerCase();
  if (BAD.has(status)) return "ERROR";
  return status === "warn" ? "WARNING" : "INFO";
}

interface LineReader {
  push(bytes: Uint8Array): void;
  end(): void;
}

/** Whole lines of what comes in pieces; secrets that stand across lines are masked before it is cut up. */
function lineReader(onLine: (line: string) => void, scrubber?: Scrubber): LineReader {
  const decoder = new StringDecoder("utf8");
  let pending = "";
  const take = (text: string): void => {
    const lines = `${pending}${text}`.split("\n");
    pending = lines.pop() ?? "";
    for (const line of lines) if (line !== "") onLine(line);
    if (pending.length <= MAX_PENDING_LENGTH) return;
    onLine(pending);
    pending = "";
  };
  return {
    push: (bytes) => take(decoder.write(Buffer.from(scrubber?.push(bytes) ?? bytes))),
    end() {
      take(`${decoder.write(Buffer.from(scrubber?.flush() ?? []))}${decoder.end()}\n`);
    },
  };
}

interface Tap {
  write(channel: Parameters<JobLog["write"]>[0], bytes: Uint8Array): void;
  say?(text: string): void;
  end(): void;
}

function tapped(log: JobLog, tap: Tap): JobLog {
  return {
    write(channel, bytes) {
      tap.write(channel, bytes);
      return log.write(channel, bytes);
    },
    say(text) {
      tap.say?.(text);
      log.say(text);
    },
    flush: () => log.flush(),
    get offset() {
      return log.offset;
    },
    get failure() {
      return log.failure;
    },
    seal() {
      tap.end();
      return log.seal();
    },
    close() {
      tap.end();
      return log.close();
    },
  };
}
