"""Holders: forks of the warm parent that keep one project's manifest in memory and fork that project's runs."""

from __future__ import annotations

import json
import os
import selectors
import socket
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from forking import Forker, Request, Run, Warmth, settle
from held_manifest import HeldManifest, Identity

READY = b"r"
PREPARED = b"p"
PREPARED_IN_PART = b"i"
RUN_ENDED = b"e"


@dataclass
class Holder:
    """A holder as its parent sees it."""

    pid: int
    channel: socket.socket
    path: str
    # of the parse state that it holds
    identity: Identity
    used: int
    running: int = 0
    ready: bool = False
    # what can be computed from the manifest beforehand is
    prepared: bool = False

    def hand(self, connection: socket.socket, request: Request) -> bool:
        """Passes a run on; false where the holder is gone."""
        payload = json.dumps(request).encode()
        try:
            socket.send_fds(self.channel, [len(payload).to_bytes(8, "big")], [connection.fileno()])
            self.channel.sendall(payload)
        except OSError:
            return False
        self.running += 1
        return True


class HolderProcess(Forker):
    def __init__(self, warmth: Warmth, channel: socket.socket, path: str) -> None:
        super().__init__(warmth)
        self.channel = channel
        self.held = HeldManifest(path)
        self.selector.register(channel, selectors.EVENT_READ, self.receive)
        settle()
        channel.sendall(READY)
        self.warmth.chores = self.chores(self.warmth.chores)

    def chores(self, left: Iterator[None] | None) -> Iterator[None]:
        """What can be prepared of this project, and then what its parent had left when it was forked."""
        yield from self.held.prepare()
        settle()
        self.tell(PREPARED if self.held.is_prepared else PREPARED_IN_PART)
        yield from left or ()

    def receive(self) -> None:
        header, fds, _, _ = socket.recv_fds(self.channel, 8, 1)
        if not header:
            self.retire()
            return
        request = json.loads(read_exactly(self.channel, int.from_bytes(header, "big")))
        self.fork_run(socket.socket(fileno=fds[0]), request)

    def ended(self, run: Run) -> None:
        self.tell(RUN_ENDED)

    def tell(self, what: bytes) -> None:
        """The parent, if it still listens."""
        try:
            self.channel.sendall(what)
        except OSError:
            pass

    def retire(self) -> None:
        """The parent let go of this holder, or it has to let go of the parent."""
        if not self.draining:
            self.draining = True
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


def read_exactly(channel: socket.socket, length: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < length:
        chunk = channel.recv(length - len(chunks))
        if not chunk:
            raise EOFError
        chunks += chunk
    return bytes(chunks)


