/** The server's own log as lines of JSON, of which Google Cloud makes entries; what a request caused bears its id. */
import type { IncomingHttpHeaders } from "node:http";
import { logLine, type Severity } from "../core/log-entry.ts";
import { createScrubber } from "../core/scrub.ts";
import type { JournalParams, JournalWriter } from "./journal.ts";

/** `take` gets each line with its end. */
export function jsonWriter(
  { env, secrets }: Pick<JournalParams, "env" | "secrets">,
  take: (line: string) => void = (line) => void process.stdout.write(line),
): JournalWriter {
  const projectId = env["PROJECT_ID"] || env["GOOGLE_CLOUD_PROJECT"] || undefined;
  const { scrubText } = createScrubber(secrets);
  const print = (severity: Severity, text: string, requestId?: string, runId?: string): void => {
    const line = logLine({
      severity,
      message: scrubText(text),
      labels: {
        source: "server",
        ...(requestId !== undefined && { request_id: requestId }),
        ...(runId !== undefined && { run_id: runId }),
      },
      fields: { source: "server", ...(requestId !== undefined && { requestId }) },
      ...(requestId !== undefined && TRACE.test(requestId) && { traceId: requestId, projectId }),
    });
    take(`${line}\n`);
  };
  return {
    greet: (text) => print("NOTICE", text),
    say: (text) => print("INFO", text),
    failure: (text, requestId) => print("ERROR", text, requestId),
    run: (text, runId, requestId) => print("INFO", text, requestId, runId),
  };
}

const TRACE = /^[0-9a-f]{32}$/;

/** The id of a request: that of its trace, where Google Cloud gave it one, so that both are found together. */
export function requestIdOf(headers: IncomingHttpHeaders): string {
  const given = headers["x-cloud-trace-context"];
  const trace = typeof given === "string" ? given.split("/")[0]?.toLowerCase() : undefined;
  return trace !== undefined && TRACE.test(trace) ? trace : Math.random().toString(36).slice(2, 10);
}
