/** Stands in for dbt where what counts is how much it prints, not what it does: the engine port, at a given pace. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import type { DbtInvocation, DbtProcess } from "../src/dbt/port.ts";

export interface ScriptedDbt {
  readonly lines: number;
  /** How long it takes to print them, evenly. */
  readonly forMs: number;
}

const TICK_MS = 50;

/** As dbt's lines are; 90 bytes or so. */
const lineOf = (number: number, all: number): string =>
  `12:34:56  ${number} of ${all} OK created sql table model main.model_${number} ${".".repeat(24)} [OK in 0.12s]\n`;

/** As dbt's events are, two for each line: about as many bytes as a real run has. */
function eventsOf(number: number): string {
  const node = {
    ...{
      unique_id: `model.shop.model_${number}`,
      node_name: `model_${number}`,
      node_path: `marts/model_${number}.sql`,
    },
    ...{ resource_type: "model", materialized: "table", node_status: "success", meta: {} },
    node_relation: { alias: `model_${number}`, schema: "main", relation_name: `"w"."main"."model_${number}"` },
  };
  const event = (name: string, level: string, msg: string, data: object): string =>
    `${JSON.stringify({
      info: { name, level, msg, code: "Q012", ts: new Date().toISOString(), thread: "Thread-1", invocation_id: "i" },
      data: { node_info: node, ...data },
    })}\n`;
  return (
    event("LogModelResult", "info", lineOf(number, number), { index: number, execution_time: 0.12 }) +
    event("NodeFinished", "debug", "Finished running node", { run_result: { status: "success", execution_time: 0.12 } })
  );
}

/** What a job starts in place of dbt; it also writes what dbt writes. */
export function scriptedDbt({ lines, forMs }: ScriptedDbt) {
  return {
    version: async () => "1.11.16",
    async start({ cwd }: DbtInvocation): Promise<DbtProcess> {
      const [stdout, stderr, events] = [new PassThrough(), new PassThrough(), new PassThrough()];
      const startedAtMs = performance.now();
      let printed = 0;
      const exit = new Promise<{ code: number; signal: null }>((resolve) => {
        const timer = setInterval(() => {
          const due = Math.min(lines, Math.ceil(((performance.now() - startedAtMs) / forMs) * lines));
          let [text, told] = ["", ""];
          for (; printed < due; printed += 1) {
            text += lineOf(printed + 1, lines);
            told += eventsOf(printed + 1);
          }
          stdout.write(text);
          events.write(told);
          if (printed < lines) return;
          clearInterval(timer);
          const target = join(cwd, "target");
          mkdirSync(target, { recursive: true });
          writeFileSync(join(target, "manifest.json"), JSON.stringify({ nodes: "x".repeat(300_000) }));
          writeFileSync(join(target, "run_results.json"), JSON.stringify({ results: "x".repeat(50_000) }));
          writeFileSync(join(target, "partial_parse.msgpack"), Buffer.alloc(500_000, "parsed"));
          for (const stream of [stdout, stderr, events]) stream.end();
          resolve({ code: 0, signal: null });
        }, TICK_MS);
      });
      return { pid: 1, stdout, stderr, events, exit, signal: () => false };
    },
  };
}
