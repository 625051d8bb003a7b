"""Holders: forks of the warm parent that keep one project's manifest in memory and fork that project's runs."""

from __future__ import annotations

import os
import selectors
import socket
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import memory
from chores import words
from forked_run import Warmth
from forking import Forker, Run, settle
from held_manifest import HeldManifest, Identity
from hot_pages import HotPages
from spares import receive_request, send_request
from wire import Request

# What a holder tells its parent, a line each.
READY = "ready"
PREPARED = "prepared"
PREPARED_IN_PART = "prepared in part"
RUN_ENDED = "run ended"
# with the pid of the spare, and the bytes that the holder had for itself when it forked it
SPARE = "spare"


@dataclass
class Holder:
    """A holder as its parent sees it."""

    pid: int
    channel: socket.socket
    path: str
    # of the parse state that it holds
    identity: Identity
    # when its last run came, or else itself; by the monotonic clock
    used: float
    running: int = 0
    ready: bool = False
    # what can be computed from the manifest beforehand is
    prepared: bool = False
    # its pid; 0 where there is none
    spare: int = 0
    # without what it has from its parent; a spare shares it
    own_bytes: int = 0
    heard: bytes = b""

    def hear(self) -> list[str] | None:
        """What it has told since; None where it is gone."""
        try:
            said = self.channel.recv(4096)
        except OSError:
            said = b""
        if not said:
            return None
        *lines, self.heard = (self.heard + said).split(b"\n")
        return [line.decode() for line in lines]

    def size(self) -> int:
        """What would be free without it."""
        own = max(self.own_bytes if self.spare else 0, memory.private(self.pid))
        return own + (memory.private(self.spare) if self.spare else 0)

    def hand(self, connection: socket.socket, request: Request) -> bool:
        """Passes a run on; false where the holder is gone."""
        handed = send_request(self.channel, connection, request)
        self.running += handed
        self.spare = 0
        return handed


class HolderProcess(Forker):
    def __init__(self, warmth: Warmth, channel: socket.socket, path: str) -> None:
        super().__init__(warmth)
        self.channel = channel
        self.held = HeldManifest(path)
        self.hot_pages = HotPages()
        self.selector.register(channel, selectors.EVENT_READ, self.receive)
        settle()
        self.tell(READY)
        self.warmth.chores = self.chores(self.warmth.chores)

    def chores(self, left: Iterator[None] | None) -> Iterator[None]:
        """What can be prepared of this project, and then what its parent had left when it was forked."""
        yield from self.held.prepare()
        yield from words([self.held.project])
        yield from self.compile_templates()
        settle()
        self.tell(PREPARED if self.held.is_prepared else PREPARED_IN_PART)
        yield from left or ()

    def receive(self) -> None:
        handed = receive_request(self.channel)
        if handed is None:
            self.retire()
        else:
            self.fork_run(*handed)

    def ended(self, run: Run) -> None:
        self.tell(RUN_ENDED)
        if self.warmth.chores is None:
            self.warmth.chores = self.compile_templates()

    def compile_templates(self) -> Iterator[None]:
        """What the run has noted."""
        yield from self.warmth.templates.compile(self.held.texts())

    def fork_spare(self) -> None:
        own = memory.private(os.getpid())
        super().fork_spare()
        if self.spare is not None:
            self.tell(f"{SPARE} {self.spare.pid} {own}")

    def lose_spare(self) -> None:
        super().lose_spare()
        self.tell(f"{SPARE} 0 0")

    def tell(self, what: str) -> None:
        """The parent, if it still listens."""
        try:
            self.channel.sendall(what.encode() + b"\n")
        except OSError:
            pass

    def retire(self) -> None:
        """The parent let go of this holder, or it has to let go of the parent."""
        if not self.draining:
            super().retire()
            self.selector.unregister(self.channel)
            self.channel.close()


def hold(warmth: Warmth, channel: socket.socket, path: str) -> NoReturn:
    """In a forked child: becomes the holder."""
    try:
        HolderProcess(warmth, channel, path).serve()
        os._exit(0)
    except BaseException:
        # An unreadable parse state is dbt's to tell of: runs are forked without it.
        traceback.print_exc()
    os._exit(1)
