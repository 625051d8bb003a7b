/**
 * A program that works on a State of its test, as another process: `state-child.ts MODULE PARAMS COMMAND ARGS`. What it
 * has done it tells on stdout, line by line, as soon as it is done.
 */
import { writeSync } from "node:fs";
import type { JsonObject, State } from "../../src/state/port.ts";
import { segment } from "./state-test-data.ts";

interface Counter {
  readonly count: number;
}

const [module = "", params = "{}", command = "", args = "{}"] = process.argv.slice(2);
const { open } = (await import(module)) as { open(params: JsonObject): Promise<State> };
const state = await open(JSON.parse(params) as JsonObject);
const options = JSON.parse(args) as { collection: string; key: string; runId: string; times: number; from: number };

/** Synchronous: what was told is told, also if the process is killed right behind. */
function tell(line: string): void {
  writeSync(1, `${line}\n`);
}

async function increment(): Promise<void> {
  for (let done = 0; done < options.times; ) {
    const found = await state.records.get<Counter>(options.collection, "counter");
    if (found === undefined) throw new Error("no counter");
    const next = { count: found.data.count + 1 };
    if ((await state.records.replace(options.collection, "counter", next, found.version)) !== undefined) done += 1;
    else await new Promise((resume) => setTimeout(resume, Math.random() * 10));
  }
}

async function claim(): Promise<void> {
  for (let number = 0; number < options.times; number += 1) {
    if (await state.records.create(options.collection, `n${number}`, { pid: process.pid })) tell(String(number));
  }
}

/** Appends numbered lines for ever, telling each offset that was acknowledged. */
async function writeLog(): Promise<void> {
  const writer = await state.logs.openWriter(options.runId, "log");
  tell(`opened ${writer.offset}`);
  for (let line = options.from; ; line += 2) {
    const pair = [segment(`line ${line} ${"x".repeat(line % 97)}\n`), segment(`line ${line + 1}\n`, "err")];
    await writer.append(pair);
    tell(`${writer.offset}`);
  }
}

async function put(): Promise<void> {
  for (let n = 0; ; n += 1) {
    await state.records.put(options.collection, options.key, { n });
    tell(String(n));
  }
}

const commands: Record<string, () => Promise<void>> = { increment, claim, writeLog, put };
await commands[command]?.();
await state.close();
