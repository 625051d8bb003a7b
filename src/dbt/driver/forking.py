"""An event loop that forks runs and tells their jobs how they ended. Base of the parent and of the holders."""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from forked_run import answer_on, run_forked
from held_manifest import HeldManifest
from import_environment import ImportEnvironment
from loaded_code import LoadedCode
from native_threads import NativeThreads

Request = dict[str, Any]

# Chores wait for a moment without runs, but not longer than this: under constant load they pay off soonest.
CHORES_AT_LATEST_SECONDS = 10.0


@dataclass
class Warmth:
    """What a process that forks runs has prepared for them."""

    imported: ImportEnvironment
    threads: NativeThreads
    # what importing printed
    printed: bytes
    code: LoadedCode
    # what is left to prepare
    chores: Iterator[None] | None


@dataclass(frozen=True)
class Run:
    connection: socket.socket
    # nothing of its environment is kept here: later forks would inherit it
    parse_state: str | None


def single_threaded() -> bool:
    """Forking beside a live thread is unsafe: native libraries start theirs when used."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return True


class Forker:
    def __init__(self, warmth: Warmth) -> None:
        self.warmth = warmth
        self.selector = selectors.DefaultSelector()
        self.runs: dict[int, Run] = {}
        self.held: HeldManifest | None = None
        # accepts nothing new, and ends with its last run
        self.draining = False
        self._chores_after = time.monotonic() + CHORES_AT_LATEST_SECONDS
        self._wake, self._wake_end = socket.socketpair()
        self._wake.setblocking(False)
        self._wake_end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_end.fileno(), warn_on_full_buffer=False)
        self.selector.register(self._wake, selectors.EVENT_READ, self.reap)

    def serve(self) -> None:
        """Returns when it was told to end and its last run has ended."""
        while not (self.draining and not self.runs):
            ready = self.selector.select(self.patience())
            for key, _ in ready:
                try:
                    key.data()
                except Exception:
                    traceback.print_exc()
            if not ready:
                self.do_chore()

    def patience(self) -> float | None:
        if self.warmth.chores is None or self.draining:
            return None
        return max(0.0, self._chores_after - time.monotonic()) if self.runs else 0.0

    def do_chore(self) -> None:
        chores = self.warmth.chores
        if chores is not None and next(chores, self) is self:
            self.warmth.chores = None
            settle()

    def obstacle(self) -> str | None:
        """Why no run can be forked from this process any more."""
        if not single_threaded():
            return "the warm parent has other threads"
        changed = self.warmth.code.changed()
        return None if changed is None else f"{changed} has changed"

    def fork_run(self, connection: socket.socket, request: Request) -> None:
        """The child itself says its pid, once it leads a session of its own and can be signalled."""
        obstacle = self.obstacle()
        pid = -1
        if obstacle is None:
            try:
                pid = os.fork()
            except OSError as failure:
                answer_on(connection)({"error": str(failure)})
                connection.close()
                return
        if pid == 0:
            self.become_run(connection, request)
        if obstacle is None:
            self.runs[pid] = Run(connection, request.get("parseState"))
            return
        answer_on(connection)({"error": obstacle})
        connection.close()
        self.give_up(obstacle)

    def retire_if_unable(self) -> None:
        obstacle = self.obstacle()
        if obstacle is not None and not self.draining:
            self.give_up(obstacle)

    def give_up(self, obstacle: str) -> None:
        print(obstacle, file=sys.stderr, flush=True)
        self.retire()

    def become_run(self, connection: socket.socket, request: Request) -> None:
        """In the child. Never returns."""
        try:
            os.setsid()
            self.leave_in_child()
            if self.held is not None:
                answer = answer_on(connection)
                self.held.install(lambda: answer({"handedOver": True}))
            run_forked(request, connection, self.warmth.imported, self.warmth.threads, self.warmth.printed)
        finally:
            # the parent's loop is not the child's to go on with
            os._exit(1)

    def leave_in_child(self) -> None:
        """Lets a forked child forget what belongs to its parent."""
        signal.set_wakeup_fd(-1)
        for name in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self.selector.close()
        self._wake_end.close()
        for run in self.runs.values():
            run.connection.close()
        self.runs.clear()

    def reap(self) -> None:
        try:
            while self._wake.recv(4096):
                pass
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            run = self.runs.pop(pid, None)
            if run is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            cost = {"cpuMs": round((usage.ru_utime + usage.ru_stime) * 1000), "maxRssKb": usage.ru_maxrss}
            answer_on(run.connection)({**({"exit": code} if code >= 0 else {"signal": -code}), **cost})
            run.connection.close()
            self.ended(run)

    def ended(self, run: Run) -> None:
        """A run has ended."""

    def retire(self) -> None:
        """Forks nothing any more."""
        self.draining = True


def settle() -> None:
    """What is there now lives for ever: children need not go through it, and so not copy it, when they collect."""
    gc.collect()
    gc.freeze()


class Lines:
    """Gathers what comes on a connection, up to the end of the line."""

    LIMIT = 64 << 20

    def __init__(self, connection: socket.socket, done: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._received = bytearray()
        self._done = done

    def receive(self) -> None:
        """Calls `done` once: with the line, or with nothing where none will come."""
        try:
            chunk = self._connection.recv(1 << 20)
        except OSError:
            chunk = b""
        self._received += chunk
        if chunk == b"" or len(self._received) > self.LIMIT:
            self._done(b"")
        elif chunk.endswith(b"\n"):
            self._done(bytes(self._received))
