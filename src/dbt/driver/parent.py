"""The warm parent: accepts runs, and gives each to the holder of its project or forks it itself."""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

import memory
from forked_run import Warmth
from forking import CHORES_AT_LATEST_SECONDS, Forker, Run, single_threaded
from held_manifest import Identity, identity
from holders import PREPARED, READY, RUN_ENDED, SPARE, Holder, hold
from wire import Line, Request, answer_on

MEASURE_AFTER_SECONDS = 1.0
# With more projects than may be held, each run would otherwise pay for a manifest that is gone before it is used.
IN_USE_SECONDS = 60.0
# The parent runs nothing itself: where it takes so many times what it took when it was ready, something is wrong.
GROWN = 2
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Limits:
    # how many projects' manifests are held
    projects: int
    # bytes that the parent and its holders may take together
    memory: int


class Parent(Forker):
    def __init__(self, warmth: Warmth, listener: socket.socket, limits: Limits) -> None:
        super().__init__(warmth)
        self.listener = listener
        self.limits = limits
        self.holders: dict[str, Holder] = {}
        # parse states that could not be held
        self.unfit: dict[str, Identity] = {}
        # runs, and those of them that were given to a holder
        self.forked = 0
        self.handed = 0
        # when to see whether the memory is within its limit
        self._measure_at: float | None = None
        # what this process took when all was prepared, in bytes
        self._at_first: int | None = None
        # parse states that are to be held when there is time, and since when
        self.put_off: dict[str, float] = {}
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        self.selector.register(sys.stdin, selectors.EVENT_READ, self.hear_server)

    def hear_server(self) -> None:
        """The server says nothing; its end is that of this parent."""
        if not os.read(sys.stdin.fileno(), 4096):
            self.selector.unregister(sys.stdin)
            self.retire()

    def retire(self) -> None:
        if self.draining:
            return
        self.draining = True
        self.selector.unregister(self.listener)
        self.listener.close()
        for holder in list(self.holders.values()):
            self.let_go(holder)
        report("retired")

    def accept(self) -> None:
        connection, _ = self.listener.accept()

        def done(line: bytes) -> None:
            self.selector.unregister(connection)
            try:
                self.answer(connection, json.loads(line))
            except (ValueError, AttributeError, TypeError) as problem:
                answer_on(connection)({"error": f"no request: {problem}"})
                connection.close()

        self.selector.register(connection, selectors.EVENT_READ, Line(connection, done).receive)

    def answer(self, connection: socket.socket, request: Request) -> None:
        if request.get("stats"):
            answer_on(connection)(self.stats())
            connection.close()
            return
        self.forked += 1
        holder = self.holder_for(request.get("parseState"))
        if holder is not None:
            if holder.hand(connection, request):
                self.handed += 1
                connection.close()
                return
            self.let_go(holder)
        self.fork_run(connection, request)

    def holder_for(self, path: str | None) -> Holder | None:
        """The one whose manifest is that of the file as it is now."""
        holder = self.holders.get(path) if path else None
        if holder is None or not holder.ready or holder.identity != identity(holder.path):
            return None
        holder.used = time.monotonic()
        return holder

    def ended(self, run: Run) -> None:
        if run.parse_state is not None:
            self.keep(run.parse_state)
        self.keep_put_off()
        self.measure_soon()

    def keep(self, path: str) -> None:
        """After a run: sees to it that a holder has the project's parse state as it is now."""
        since = self.put_off.pop(path, time.monotonic())
        now = identity(path)
        if now is None or self.draining or self.limits.projects == 0 or self.unfit.get(path) == now:
            return
        holder = self.holders.get(path)
        if holder is not None:
            # one that still reads is asked again when it is done
            if holder.identity == now or not holder.ready:
                return
            self.let_go(holder)
        if self.is_crowded(since):
            self.put_off[path] = since
            while len(self.put_off) > self.limits.projects:
                del self.put_off[next(iter(self.put_off))]
            return
        if self.has_room() and single_threaded():
            self.start_holder(path, now)

    def has_room(self) -> bool:
        """For one more: what nobody has used for a while makes room."""
        used_until = time.monotonic() - IN_USE_SECONDS
        idle = [each for each in self.holders.values() if each.running == 0 and each.used < used_until]
        if len(self.holders) >= self.limits.projects and idle:
            self.let_go(min(idle, key=lambda each: each.used))
        return len(self.holders) < self.limits.projects

    def is_crowded(self, since: float) -> bool:
        """Whether runs need all processors: what makes later ones faster would make these slower. Not for long."""
        live = len(self.runs) + sum(holder.running for holder in self.holders.values())
        return live >= PROCESSORS and time.monotonic() - since < CHORES_AT_LATEST_SECONDS

    def keep_put_off(self) -> None:
        for path in list(self.put_off):
            self.keep(path)

    def start_holder(self, path: str, now: Identity) -> None:
        mine, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            self.leave_in_child()
            mine.close()
            hold(self.warmth, theirs, path)
        theirs.close()
        holder = Holder(pid, mine, path, now, used=time.monotonic())
        self.holders[path] = holder
        self.selector.register(mine, selectors.EVENT_READ, lambda: self.hear(holder))

    def hear(self, holder: Holder) -> None:
        told = holder.hear()
        if told is None:
            if not holder.ready:
                self.unfit[holder.path] = holder.identity
            self.let_go(holder)
            # It may have ended over code that has changed, which ends this process as well.
            self.retire_if_unable()
            return
        for line in told:
            what, *values = line.split(" ") if line.startswith(SPARE) else [line]
            if what == READY:
                holder.ready = True
                self.unfit.pop(holder.path, None)
            elif what == PREPARED:
                holder.prepared = True
            elif what == RUN_ENDED:
                holder.running -= 1
            elif what == SPARE:
                holder.spare, holder.own_bytes = (int(value) for value in values)
        self.measure_soon()
        if self.holders.get(holder.path) is holder:
            self.keep(holder.path)
        self.keep_put_off()

    def patience(self) -> float | None:
        now = time.monotonic()
        times = [since + CHORES_AT_LATEST_SECONDS for since in self.put_off.values()]
        if self._measure_at is not None:
            times.append(self._measure_at)
        own = super().patience()
        return min([*([] if own is None else [own]), *(max(0.0, at - now) for at in times)], default=None)

    def do_chores(self) -> None:
        now = time.monotonic()
        if self._measure_at is not None and now >= self._measure_at:
            self._measure_at = None
            self.limit_memory()
        elif any(now >= since + CHORES_AT_LATEST_SECONDS for since in self.put_off.values()):
            self.keep_put_off()
        else:
            super().do_chores()

    def measure_soon(self) -> None:
        """Measuring takes the kernel a while, and a spare has its memory only after a moment."""
        self._measure_at = self._measure_at or time.monotonic() + MEASURE_AFTER_SECONDS

    def limit_memory(self) -> None:
        used = memory.resident(os.getpid())
        if self.warmth.chores is None:
            self._at_first = self._at_first or used
            if used > GROWN * self._at_first:
                self.give_up(f"the warm parent has grown to {used >> 20} MiB, {used / self._at_first:.1f} times its size")
                return
        sizes = {path: holder.size() for path, holder in self.holders.items()}
        while self.holders and used + sum(sizes[path] for path in self.holders) > self.limits.memory:
            self.let_go_oldest()

    def let_go_oldest(self) -> None:
        self.let_go(min(self.holders.values(), key=lambda each: each.used))

    def let_go(self, holder: Holder) -> None:
        """It ends with the last of its runs."""
        if self.holders.get(holder.path) is holder:
            del self.holders[holder.path]
            self.selector.unregister(holder.channel)
            holder.channel.close()

    def stats(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "rssBytes": memory.resident(os.getpid()),
            "isWarm": self.warmth.chores is None,
            "forked": self.forked,
            "handed": self.handed,
            "runs": [{"pid": pid, "rssBytes": memory.resident(pid)} for pid in self.runs],
            "holders": [
                {
                    "pid": holder.pid,
                    "parseState": holder.path,
                    "isReady": holder.ready,
                    "isPrepared": holder.prepared,
                    "isCurrent": holder.identity == identity(holder.path),
                    "running": holder.running,
                    "sparePid": holder.spare or None,
                    "privateBytes": holder.size(),
                }
                for holder in self.holders.values()
            ],
        }


def report(what: str) -> None:
    """Tells the server, if there still is one."""
    try:
        print(what, flush=True)
    except OSError:
        pass
