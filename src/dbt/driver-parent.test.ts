/** How the warm parent decides what it holds, by a clock that moves. */
import { test } from "node:test";
import { runPython, skip } from "../../test/driver-python.ts";

const onLinux = process.platform === "linux" ? skip : "forks on Linux alone";

/** One that forks nothing. */
const PARENT = `
import os, socket, sys, time, types
import parent

clock = [1000.0]
time.monotonic = lambda: clock[0]
sys.stdin = open(os.pipe()[0])
there = parent.Parent(types.SimpleNamespace(chores=None), socket.socket(), parent.Limits(projects=2, memory=1 << 40))
`;

test("a manifest that is in use is not given up for another project's", { skip: onLinux }, () => {
  runPython(`
${PARENT}
import tempfile
from holders import Holder

started = []

def start_holder(path, now):
    started.append(path)
    there.holders[path] = Holder(0, socket.socket(), path, now, used=time.monotonic())
    there.selector.register(there.holders[path].channel, 1, None)

there.start_holder = start_holder
folder = tempfile.mkdtemp()
paths = [os.path.join(folder, name) for name in "abc"]
for path in paths:
    open(path, "w").close()
a, b, c = paths

def held():
    return sorted(map(os.path.basename, there.holders))

there.keep(a)
clock[0] += 30
there.keep(b)
there.keep(c)
assert held() == ["a", "b"], held()

clock[0] += 31
there.holders[a].ready = True
assert there.holder_for(a) is there.holders[a]
there.keep(c)
assert held() == ["a", "b"], held()

clock[0] += 31
there.holders[b].running = 1
there.keep(c)
assert held() == ["a", "b"], held()
there.holders[b].running = 0
there.keep(c)
assert held() == ["a", "c"], held()

# what has changed is read anew in its own place, used or not
open(c, "w").write("more")
there.holders[c].ready = True
there.keep(c)
assert started == [a, b, c, c], started
`);
});

test("a parent that has grown far beyond what it was when it was ready is replaced", { skip: onLinux }, () => {
  runPython(`
${PARENT}
import memory
from forking import Run

size = [100 << 20]
memory.resident = lambda pid: size[0]
chores = there.warmth.chores = iter(())

def measured():
    there.ended(Run(socket.socket(), None))
    clock[0] += 1.5
    assert there.patience() == 0.0
    there.do_chores()

# it still prepares
measured()
size[0] = 150 << 20
there.warmth.chores = None
measured()
size[0] = 290 << 20
measured()
assert not there.draining
size[0] = 310 << 20
measured()
assert there.draining
`);
});
