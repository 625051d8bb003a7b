/** Tells whether the kernel's out-of-memory killer ended dbt: it leaves a count, not a message. */
import { readFileSync } from "node:fs";
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
export function readOomCounts(files: OomFiles = KERNEL_FILES): OomCounts {
  return { cgroup: cgroupCount(files), machine: countIn(files.vmstat) };
}

/**
 * Whether dbt was killed for want of memory: it died of SIGKILL (or a shell says so, 137) and a count has risen. The
 * group's own count decides where there is one; another group's victim must not be taken for dbt.
 */
export function wasOutOfMemory(exit: DbtExit, before: OomCounts, readAfter: () => OomCounts): boolean {
  if (exit.signal !== "SIGKILL" && exit.code !== 137) return false;
  const after = readAfter();
  if (before.cgroup !== null && after.cgroup !== null) return after.cgroup > before.cgroup;
  if (before.machine !== null && after.machine !== null) return after.machine > before.machine;
  return false;
}

/** cgroup v2 counts in memory.events, v1 in memory.oom_control; in a container the group's path may be its root's. */
function cgroupCount({ procCgroup, cgroupRoot }: OomFiles): number | null {
  const lines = textOf(procCgroup)
    .split("\n")
    .map((line) => line.split(":"));
  for (const [, controllers, ...rest] of lines) {
    const path = rest.join(":");
    const v2 = controllers === "";
    const v1 = controllers?.split(",").includes("memory") === true;
    if (!v2 && !v1) continue;
    const [root, file] = v2 ? [cgroupRoot, "memory.events"] : [join(cgroupRoot, "memory"), "memory.oom_control"];
    const count = countIn(join(root, path, file)) ?? countIn(join(root, file));
    if (count !== null) return count;
  }
  return null;
}

function countIn(path: string): number | null {
  const found = /^oom_kill (\d+)$/m.exec(textOf(path));
  return found === null ? null : Number(found[1]);
}

/** The kernel answers from memory: a detour over another thread would take longer. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
