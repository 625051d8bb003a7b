"""Where forking is not safe: a process that has imported dbt, and becomes the first run that comes."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
from typing import Any

import memory
from forked_run import Warmth, run_forked
from parent import report
from wire import Request, answer_on, read_line


def serve_once(warmth: Warmth, listener: socket.socket) -> None:
    """Returns when the server has gone without having had a run for it."""
    for request, connection in requests(warmth, listener):
        if request.get("stats"):
            answer_on(connection)(stats(warmth))
            connection.close()
            continue
        changed = warmth.code.changed()
        listener.close()
        # the server starts another one, for the next run
        report("retired")
        if changed is not None:
            answer_on(connection)({"error": f"{changed} has changed"})
            return
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        run_forked(request, connection, warmth)


def stats(warmth: Warmth) -> dict[str, Any]:
    own = {"pid": os.getpid(), "rssBytes": memory.resident(os.getpid()), "isWarm": warmth.chores is None}
    return {**own, "forked": 0, "handed": 0, "runs": [], "holders": []}


def requests(warmth: Warmth, listener: socket.socket) -> Any:
    """What comes on the socket, until the server is gone; in between, chores."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select(None if warmth.chores is None else 0.0)]
            if listener in ready:
                request, connection = read_request(listener)
                if request is not None:
                    yield request, connection
            elif sys.stdin in ready:
                if not os.read(sys.stdin.fileno(), 4096):
                    return
            elif warmth.chores is not None and next(warmth.chores, warmth) is warmth:
                warmth.chores = None


def read_request(listener: socket.socket) -> tuple[Request | None, socket.socket]:
    connection, _ = listener.accept()
    connection.settimeout(5.0)
    line = read_line(connection)
    connection.settimeout(None)
    try:
        return json.loads(line), connection
    except ValueError:
        connection.close()
        return None, connection
