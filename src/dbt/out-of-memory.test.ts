import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { type OomFiles, readOomCounts, wasOutOfMemory } from "./out-of-memory.ts";

const folder = await mkdtemp(join(tmpdir(), "oom-"));
after(() => rm(folder, { recursive: true }));

async function kernel(name: string, files: Readonly<Record<string, string>>): Promise<OomFiles> {
  for (const [path, text] of Object.entries(files)) {
    const full = join(folder, name, path);
    await mkdir(dirname(full), { recursive: true });
    await writeFile(full, text);
  }
  return {
    procCgroup: join(folder, name, "cgroup"),
    cgroupRoot: join(folder, name, "fs"),
    vmstat: join(folder, name, "vmstat"),
  };
}

const killed = { code: null, signal: "SIGKILL" } as const;

test("cgroup v2, its path inside a container, and v1 are counted", async () => {
  const events = "low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 0\n";
  const v2 = await kernel("v2", {
    cgroup: "0::/jobs/a:b\n",
    "fs/jobs/a:b/memory.events": events,
    vmstat: "oom_kill 9",
  });
  assert.deepEqual(readOomCounts(v2), { cgroup: 3, machine: 9 });
  const inContainer = await kernel("c", { cgroup: "0::/../../x\n", "fs/memory.events": events });
  assert.deepEqual(readOomCounts(inContainer), { cgroup: 3, machine: null });
  const v1 = await kernel("v1", {
    cgroup: "5:cpu:/\n4:hugetlb,memory:/j\n0::/\n",
    "fs/memory/j/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
  });
  assert.deepEqual(readOomCounts(v1), { cgroup: 1, machine: null });
});

test("where nothing is known nothing is claimed", async () => {
  const nothing = readOomCounts(await kernel("nothing", {}));
  assert.deepEqual(nothing, { cgroup: null, machine: null });
  assert.equal(
    wasOutOfMemory(killed, nothing, () => nothing),
    false,
  );
});

test("only a SIGKILL with a risen count is out of memory, and the group's count decides", () => {
  const before = { cgroup: 0, machine: 4 };
  assert.equal(
    wasOutOfMemory(killed, before, () => ({ cgroup: 1, machine: 5 })),
    true,
  );
  assert.equal(
    wasOutOfMemory({ code: 137, signal: null }, before, () => ({ cgroup: 1, machine: 5 })),
    true,
  );
  assert.equal(
    wasOutOfMemory({ code: 1, signal: null }, before, () => ({ cgroup: 1, machine: 5 })),
    false,
  );
  assert.equal(
    wasOutOfMemory({ code: null, signal: "SIGTERM" }, before, () => ({ cgroup: 1, machine: 5 })),
    false,
  );
  assert.equal(
    wasOutOfMemory(killed, before, () => ({ cgroup: 0, machine: 5 })),
    false,
  );
  assert.equal(
    wasOutOfMemory(killed, { cgroup: null, machine: 4 }, () => ({ cgroup: null, machine: 5 })),
    true,
  );
});
