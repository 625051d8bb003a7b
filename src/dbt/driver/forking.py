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
from dataclasses import dataclass
from typing import NoReturn

from forked_run import Warmth, run_forked
from held_manifest import HeldManifest
from hot_pages import HotPages
from spares import Spare, receive_request
from wire import Request, answer_on

# Chores wait for a moment without runs, but not longer than this: under constant load they pay off soonest.
CHORES_AT_LATEST_SECONDS = 10.0
# A spare is made when nothing has happened for this long: who waits for the last run's files needs the processor.
SPARE_AFTER_SECONDS = 0.1


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
        # set where a spare is kept
        self.hot_pages: HotPages | None = None
        self.spare: Spare | None = None
        self._wants_spare = True
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
                self.do_chores()

    def patience(self) -> float | None:
        if self.draining:
            return None
        if self.warmth.chores is not None:
            return max(0.0, self._chores_after - time.monotonic()) if self.runs else 0.0
        is_due = self.hot_pages is not None and self._wants_spare and self.spare is None and not self.runs
        return SPARE_AFTER_SECONDS if is_due else None

    def do_chores(self) -> None:
        """The next of them. What fails is left to the runs."""
        chores, has_ended = self.warmth.chores, False
        try:
            if chores is None:
                self.fork_spare()
            else:
                has_ended = next(chores, self) is self
        except Exception:
            traceback.print_exc()
            has_ended, self._wants_spare = True, False
        if has_ended:
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
        if obstacle is not None:
            answer_on(connection)({"error": obstacle})
            connection.close()
            self.give_up(obstacle)
            return
        pid = self.hand_to_spare(connection, request)
        if pid is None:
            try:
                pid = os.fork()
            except OSError as failure:
                answer_on(connection)({"error": str(failure)})
                connection.close()
                return
            if pid == 0:
                self.become_run(connection, request)
        self.runs[pid] = Run(connection, request.get("parseState"))

    def hand_to_spare(self, connection: socket.socket, request: Request) -> int | None:
        """Its pid, where there was one."""
        spare, self.spare = self.spare, None
        if spare is None:
            return None
        handed = spare.hand(connection, request)
        spare.drop()
        return spare.pid if handed else None

    def fork_spare(self) -> None:
        mine, theirs = socket.socketpair()
        try:
            pid = os.fork() if single_threaded() else -1
        except OSError:
            pid = -1
        if pid == 0:
            mine.close()
            self.become_spare(theirs)
        theirs.close()
        if pid == -1:
            mine.close()
            self._wants_spare = False
            return
        self.spare = Spare(pid, mine)

    def lose_spare(self) -> None:
        """It died, for want of memory perhaps: another one is made after the next run."""
        self.drop_spare()
        self._wants_spare = False

    def drop_spare(self) -> None:
        if self.spare is not None:
            self.spare.drop()
            self.spare = None

    def retire_if_unable(self) -> None:
        obstacle = self.obstacle()
        if obstacle is not None and not self.draining:
            self.give_up(obstacle)

    def give_up(self, obstacle: str) -> None:
        print(obstacle, file=sys.stderr, flush=True)
        self.retire()

    def become_run(self, connection: socket.socket, request: Request) -> None:
        """In the child."""
        try:
            os.setsid()
            self.leave_in_child()
            self.run(connection, request)
        finally:
            # the parent's loop is not the child's to go on with
            os._exit(1)

    def become_spare(self, channel: socket.socket) -> NoReturn:
        """In the child."""
        try:
            os.setsid()
            self.leave_in_child()
            if self.hot_pages is not None:
                self.hot_pages.copy()
            handed = receive_request(channel)
            channel.close()
            if handed is None:
                os._exit(0)
            self.run(*handed)
        finally:
            os._exit(1)

    def run(self, connection: socket.socket, request: Request) -> NoReturn:
        """In a child that has left its parent."""
        if self.held is not None:
            answer = answer_on(connection)
            self.held.install(lambda: answer({"handedOver": True}))
        run_forked(request, connection, self.warmth, self.hot_pages)

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
        self.drop_spare()
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
            if self.spare is not None and self.spare.pid == pid:
                self.lose_spare()
            run = self.runs.pop(pid, None)
            if run is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            cost = {"cpuMs": round((usage.ru_utime + usage.ru_stime) * 1000), "maxRssKb": usage.ru_maxrss}
            answer_on(run.connection)({**({"exit": code} if code >= 0 else {"signal": -code}), **cost})
            run.connection.close()
            self._wants_spare = True
            self.ended(run)

    def ended(self, run: Run) -> None:
        """A run has ended."""

    def retire(self) -> None:
        """Forks nothing any more."""
        self.draining = True
        self.drop_spare()


def settle() -> None:
    """What is there now lives for ever: children need not go through it, and so not copy it, when they collect."""
    gc.collect()
    gc.freeze()
