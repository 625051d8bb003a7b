"""Times whole processes for the benchmark, with the operating system's own accounting.

Reads one JSON object a line on stdin, {"argv": [...], "cwd": ..., "env": {...}}, runs it to its end and answers with
one JSON object a line. One long-lived stopwatch starts every process that is compared, so that starting costs all of
them the same. `lines` holds [seconds since the start, Unix time, text] for each line of stdout.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time


def run(request: dict) -> dict:
    started_at = time.time()
    started = time.perf_counter()
    child = subprocess.Popen(
        request["argv"],
        cwd=request["cwd"],
        env=request["env"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout and child.stderr
    chunks: list[tuple[float, float, bytes]] = []
    errors = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ, "out")
        selector.register(child.stderr, selectors.EVENT_READ, "err")
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.data == "out":
                    chunks.append((time.perf_counter() - started, time.time(), data))
                else:
                    errors += data
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    return {
        "code": child.returncode,
        "startedAt": started_at,
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "maxRssKb": usage.ru_maxrss,
        "firstLine": chunks[0][0] if chunks else None,
        "lines": lines(chunks),
        "stderr": errors.decode("utf-8", "replace"),
    }


def lines(chunks: list[tuple[float, float, bytes]]) -> list[tuple[float, float, str]]:
    """Gives each line the time at which its last byte came."""
    result: list[tuple[float, float, str]] = []
    rest = b""
    for since, at, data in chunks:
        *whole, rest = (rest + data).split(b"\n")
        result.extend((since, at, line.decode("utf-8", "replace")) for line in whole)
    return result


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
