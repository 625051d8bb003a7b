"""A fork made before there is a run for it: what a run would wait for is done when it comes."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass

from wire import Request


@dataclass(frozen=True)
class Spare:
    """As the process that forked it sees it."""

    pid: int
    channel: socket.socket

    def hand(self, connection: socket.socket, request: Request) -> bool:
        """Makes it the run of this job; false where it is gone."""
        return send_request(self.channel, connection, request)

    def drop(self) -> None:
        """It ends."""
        self.channel.close()


def send_request(channel: socket.socket, connection: socket.socket, request: Request) -> bool:
    """Passes a run on to another process; false where that is gone."""
    payload = json.dumps(request).encode()
    try:
        socket.send_fds(channel, [len(payload).to_bytes(8, "big")], [connection.fileno()])
        channel.sendall(payload)
    except OSError:
        return False
    return True


def receive_request(channel: socket.socket) -> tuple[socket.socket, Request] | None:
    """What the other end sent; None where it is gone."""
    header, fds, _, _ = socket.recv_fds(channel, 8, 1)
    # No descriptor comes where this process may open no more.
    if not header or not fds:
        return None
    connection = socket.socket(fileno=fds[0])
    return connection, json.loads(read_exactly(channel, int.from_bytes(header, "big")))


def read_exactly(channel: socket.socket, length: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < length:
        chunk = channel.recv(length - len(chunks))
        if not chunk:
            raise EOFError
        chunks += chunk
    return bytes(chunks)
