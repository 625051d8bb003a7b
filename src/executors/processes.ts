/** What the operating system says about processes: start times tell a process from a later one with its number. */
import { execFile, execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";

export interface ProcessFacts {
  readonly pid: number;
  readonly parentPid: number;
  /** Differs between two processes that had the same pid. Linux: ticks since boot; elsewhere as `ps` says it. */
  readonly startTime: string;
}

const PS_FIELDS = ["-o", "pid=,ppid=,stat=,lstart="];

/** Undefined when there is no such process any more; one that only waits to be reaped counts as gone. */
export function processFacts(pid: number): ProcessFacts | undefined {
  if (process.platform === "linux") return linuxFacts(pid);
  try {
    const text = execFileSync("ps", [...PS_FIELDS, "-p", String(pid)], {
      encoding: "utf8",
      timeout: 5000,
      env: PS_ENV,
    });
    return psFacts(text.trim());
  } catch {
    return undefined;
  }
}

/** Every process that descends from this one, itself left out. */
export async function descendantsOf(pid: number): Promise<ProcessFacts[]> {
  const all = await listProcesses();
  const family = new Set([pid]);
  // Parents don't come before their children in the list, so it is read until nothing is added.
  for (let size = 0; size !== family.size; ) {
    size = family.size;
    for (const each of all) if (family.has(each.parentPid)) family.add(each.pid);
  }
  return all.filter((each) => each.pid !== pid && family.has(each.pid));
}

/** How many processes the kernel has killed for want of memory since boot; undefined where it doesn't say. */
export function outOfMemoryKills(): number | undefined {
  try {
    const count = /^oom_kill (\d+)$/m.exec(readFileSync("/proc/vmstat", "utf8"))?.[1];
    return count === undefined ? undefined : Number(count);
  } catch {
    return undefined;
  }
}

async function listProcesses(): Promise<ProcessFacts[]> {
  if (process.platform === "linux") {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    return pids.map((pid) => linuxFacts(Number(pid))).filter((each) => each !== undefined);
  }
  const { stdout } = await promisify(execFile)("ps", ["-A", ...PS_FIELDS], { timeout: 5000, env: PS_ENV });
  return stdout
    .split("\n")
    .map((line) => psFacts(line.trim()))
    .filter((each) => each !== undefined);
}

/** A start time must read the same whoever asks: no local language, no local time zone. */
const PS_ENV = { PATH: "/bin:/usr/bin", LC_ALL: "C", TZ: "UTC" };

function psFacts(line: string): ProcessFacts | undefined {
  const match = /^(\d+)\s+(\d+)\s+(\S+)\s+(.+)$/.exec(line);
  if (match === null || match[3]?.startsWith("Z") === true) return undefined;
  return { pid: Number(match[1]), parentPid: Number(match[2]), startTime: match[4] ?? "" };
}

function linuxFacts(pid: number): ProcessFacts | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in brackets may hold blanks and brackets; state is the first field behind it, start time the 22nd of all.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state = "X", parentPid = "0"] = fields;
    if (state === "Z" || state === "X") return undefined;
    return { pid, parentPid: Number(parentPid), startTime: fields[19] ?? "" };
  } catch {
    return undefined;
  }
}
