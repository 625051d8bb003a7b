"""What goes between a job and the process that runs its dbt: lines of JSON on one connection."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

# What a job asks, and what it is answered.
Request = dict[str, Any]
Answer = Callable[[dict[str, Any]], None]


def answer_on(connection: socket.socket) -> Answer:
    def answer(message: dict[str, Any]) -> None:
        try:
            connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            # the job has gone away
            pass

    return answer


class Line:
    """Gathers one line from a connection, and leaves there what comes behind it."""

    LIMIT = 64 << 20

    def __init__(self, connection: socket.socket, done: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._received = bytearray()
        self._done = done

    def receive(self) -> None:
        """Calls `done` once: with the line, or with nothing where none will come."""
        try:
            seen = self._connection.recv(1 << 20, socket.MSG_PEEK)
            length = seen.find(b"\n") + 1
            self._received += self._connection.recv(length or len(seen)) if seen else b""
        except OSError:
            seen, length = b"", 0
        if length > 0:
            self._done(bytes(self._received))
        elif seen == b"" or len(self._received) > self.LIMIT:
            self._done(b"")


def read_line(connection: socket.socket) -> bytes:
    """Waits for it; nothing where none will come."""
    lines: list[bytes] = []
    line = Line(connection, lines.append)
    while not lines:
        line.receive()
    return lines[0]
