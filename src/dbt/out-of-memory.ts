/** Tells whether the kernel's out-of-memory killer ended dbt: it leaves a count, not a message. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DbtExit } from "./port.ts";

/** Where the kernel keeps its counts. */
export interface OomFiles {
  readonly procCgroup: string;
  readonly cgroupRoot: string;
  readonly vmstat: string;
}

const KERNEL_FILES: OomFiles = {
  procCgroup: "/proc/self/cgroup",
  cgroupRoot: "/sys/fs/cgroup",
  vmstat: "/proc/vmstat",
};

/** How often the killer has struck in this control group and on the whole machine; null where the kernel doesn't tell. */
export interface OomCounts {
  readonly cgroup: number | null;
  readonly machine: number | null;
}

/** Read before dbt starts and again after it ended. Never throws: off Linux all is null. */
export async function readOomCounts(files: OomFiles = KERNEL_FILES): Promise<OomCounts> {
  const [cgroup, machine] = await Promise.all([cgroupCount(files), countIn(files.vmstat)]);
  return { cgroup, machine };
}

/**
 * Whether dbt was killed for want of memory: it died of SIGKILL (or a shell says so, 137) and a count has risen. The
 * group's own count decides where there is one; another group's victim must not be taken for dbt.
 */
export function wasOutOfMemory(exit: DbtExit, before: OomCounts, after: OomCounts): boolean {
  if (exit.signal !== "SIGKILL" && exit.code !== 137) return false;
  if (before.cgroup !== null && after.cgroup !== null) return after.cgroup > before.cgroup;
  if (before.machine !== null && after.machine !== null) return after.machine > before.machine;
  return false;
}

/** cgroup v2 counts in memory.events, v1 in memory.oom_control; in a container the group's path may be its root's. */
async function cgroupCount({ procCgroup, cgroupRoot }: OomFiles): Promise<number | null> {
  const lines = (await textOf(procCgroup)).split("\n").map((line) => line.split(":"));
  for (const [, controllers, ...rest] of lines) {
    const path = rest.join(":");
    const v2 = controllers === "";
    const v1 = controllers?.split(",").includes("memory") === true;
    if (!v2 && !v1) continue;
    const [root, file] = v2 ? [cgroupRoot, "memory.events"] : [join(cgroupRoot, "memory"), "memory.oom_control"];
    const count = (await countIn(join(root, path, file))) ?? (await countIn(join(root, file)));
    if (count !== null) return count;
  }
  return null;
}

async function countIn(path: string): Promise<number | null> {
  const found = /^oom_kill (\d+)$/m.exec(await textOf(path));
  return found === null ? null : Number(found[1]);
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return "";
  }
}
