/** dbt Core's structured events, as the driver writes them, made into what progress and timings need. */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

export type EventLevel = "debug" | "info" | "warn" | "error";

export interface EventNode {
  readonly uniqueId: string;
  readonly name: string;
  /** `model`, `test`, `seed`, … */
  readonly resourceType: string;
  /** `table`, `view`, …; empty where it has none. */
  readonly materialized: string;
  /** dbt's own word: started, compiling, executing, success, error, fail, warn, skipped, pass, … */
  readonly status: string;
  /** ISO 8601, as dbt gives it; null while it is not known. */
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** The quoted name in the warehouse; null where it has none. */
  readonly relation: string | null;
}

export interface EventResult {
  readonly status: string;
  readonly message: string;
  readonly executionSeconds: number | null;
  /** How many rows a test found, or null. */
  readonly failures: number | null;
}

/** One event. `data` is dbt's own, for what is not made into a field here. */
export interface DbtEvent {
  /** Such as `NodeFinished`. */
  readonly name: string;
  /** Such as `Q025`. */
  readonly code: string;
  readonly level: EventLevel;
  /** ISO 8601 in UTC. */
  readonly ts: string;
  readonly msg: string;
  readonly thread: string;
  readonly invocationId: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly node?: EventNode;
  /** Of `NodeFinished`. */
  readonly result?: EventResult;
  /** Which of how many nodes, on the lines that start and finish one. */
  readonly position?: { readonly index: number; readonly total: number };
}

/** What one NDJSON line says; null where it is no event. Unknown or missing fields never throw. */
export function parseEvent(line: string): DbtEvent | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return null;
  }
  const event = record(parsed);
  const info = record(event["info"]);
  const name = string(info["name"]);
  if (name === "") return null;
  const data = record(event["data"]);
  const node = nodeOf(record(data["node_info"]));
  const result = name === "NodeFinished" ? resultOf(record(data["run_result"])) : undefined;
  const position = positionOf(data);
  return {
    name,
    code: string(info["code"]),
    level: levelOf(info["level"]),
    ts: string(info["ts"]),
    msg: string(info["msg"]),
    thread: string(info["thread"]),
    invocationId: string(info["invocation_id"]),
    data,
    ...(node === undefined ? {} : { node }),
    ...(result === undefined ? {} : { result }),
    ...(position === undefined ? {} : { position }),
  };
}

/** The events of a stream with the lines they came on; a line that is no event has `event: null`. Empty lines are left out. */
export async function* readEvents(stream: Readable): AsyncGenerator<{ line: string; event: DbtEvent | null }> {
  for await (const line of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (line !== "") yield { line, event: parseEvent(line) };
  }
}

function nodeOf(info: Record<string, unknown>): EventNode | undefined {
  const uniqueId = string(info["unique_id"]);
  if (uniqueId === "") return undefined;
  return {
    uniqueId,
    name: string(info["node_name"]),
    resourceType: string(info["resource_type"]),
    materialized: string(info["materialized"]),
    status: string(info["node_status"]),
    startedAt: string(info["node_started_at"]) || null,
    finishedAt: string(info["node_finished_at"]) || null,
    relation: string(record(info["node_relation"])["relation_name"]) || null,
  };
}

function resultOf(result: Record<string, unknown>): EventResult | undefined {
  const status = string(result["status"]);
  if (status === "") return undefined;
  return {
    status,
    message: string(result["message"]),
    executionSeconds: number(result["execution_time"]),
    failures: number(result["num_failures"]),
  };
}

function positionOf(data: Record<string, unknown>): { index: number; total: number } | undefined {
  const index = number(data["index"]);
  // Test results call it num_models.
  const total = number(data["total"]) ?? number(data["num_models"]);
  return index === null || total === null ? undefined : { index, total };
}

function levelOf(value: unknown): EventLevel {
  return value === "info" || value === "warn" || value === "error" ? value : "debug";
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function string(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** protobuf writes 64-bit integers as strings. */
function number(value: unknown): number | null {
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  return typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : null;
}
