"""What a child forked by a warm parent does: it takes the job's streams, runs one command, and ends."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import dbt_driver
from dbt_driver import Invocation, invoke, write_fully
from hot_pages import HotPages
from hot_templates import HotTemplates
from import_environment import ImportEnvironment
from loaded_code import LoadedCode
from native_threads import NativeThreads
from wire import Request, answer_on, read_line

# A job that takes longer between announcing a run and beginning it may have changed something.
STALE_SECONDS = 1.0


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
    templates: HotTemplates


def run_forked(
    announced: Request, connection: socket.socket, warmth: Warmth, hot_pages: HotPages | None = None
) -> NoReturn:
    """Runs the command that the job sends, in this process, which was made for it, and ends the process."""
    answer = answer_on(connection)
    try:
        streams = [connect(announced[name]) for name in ("stdout", "stderr", "events")]
        request = next_request(connection, warmth.code)
        enter(request["cwd"], request["env"], warmth.imported)
        differing = warmth.imported.differing()
        if differing is not None:
            raise ValueError(f"{differing} is not what it was when dbt was imported")
    except BaseException as problem:
        answer({"error": f"{type(problem).__name__}: {problem}"})
        os._exit(0)
    answer({"pid": os.getpid()})
    # From here on the command runs, unless the job has turned to another way of running it by now.
    if streams[0].recv(1) == b"":
        os._exit(0)
    warmth.templates.begin()
    if hot_pages is not None:
        hot_pages.begin()
    events_fd = take_over(streams)
    watch(connection)
    warmth.threads.give_back()
    resemble_new_process()
    dbt_driver.relax_collector()
    code = 1
    try:
        write_fully(2, warmth.printed)
        code = invoke(
            Invocation(args=request["args"], events_fd=events_fd, manifest_path=request.get("manifest"))
        )
    except KeyboardInterrupt:
        # as a new process, which Ctrl-C ends by the signal before dbt has taken over
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
    end(code & 0xFF, connection, warmth.templates, hot_pages)


def next_request(connection: socket.socket, code: LoadedCode) -> Request:
    """The run itself, which was announced before. Where it does not come, this process ends."""
    announced_at = time.monotonic()
    line = read_line(connection)
    if not line:
        os._exit(0)
    changed = code.changed() if time.monotonic() - announced_at > STALE_SECONDS else None
    if changed is not None:
        raise ValueError(f"{changed} has changed")
    request: Request = json.loads(line)
    return request


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    return connection


def enter(cwd: str, env: dict[str, str], imported: ImportEnvironment) -> None:
    os.environ.clear()
    os.environ.update(env)
    imported.add_own()
    time.tzset()
    os.chdir(cwd)
    from dbt.cli import main

    # dbt 1.12 does this when it is imported
    if hasattr(main, "load_dotenv") and hasattr(main, "find_dotenv"):
        main.load_dotenv(main.find_dotenv(usecwd=True), override=False)


def take_over(streams: list[socket.socket]) -> int:
    """Makes them this process's own, and returns the descriptor of the last, which is for events."""
    stdin = os.open(os.devnull, os.O_RDONLY)
    stdout, stderr, events = (stream.detach() for stream in streams)
    for target, source in enumerate((stdin, stdout, stderr)):
        os.dup2(source, target)
        os.close(source)
    return events


def watch(connection: socket.socket) -> None:
    """The job holds the other end as long as it lives: it keeps log and workspace, and dbt must not outlive it."""

    def wait() -> None:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.poll()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(dbt_driver.ORPHAN_GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="job", daemon=True).start()


def resemble_new_process() -> None:
    """What a project's Python code could see or would have anew in a process of its own."""
    here = os.path.dirname(os.path.realpath(__file__))
    # Asking each module where it comes from would have the kernel copy what lies around all of them.
    for name in (name.removesuffix(".py") for name in os.listdir(here)):
        if os.path.dirname(getattr(sys.modules.get(name), "__file__", None) or "") == here:
            del sys.modules[name]
    # What multiprocessing imports in the processes that it spawns.
    main = types.ModuleType("__main__")
    main.__file__ = os.path.join(here, "dbt_driver.py")
    main.__dict__["__spec__"] = None
    sys.modules["__main__"] = main
    # It depends on TMPDIR, and something may have asked for it before.
    tempfile.tempdir = None
    # Python's own generator seeds itself after a fork, this one does not.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def end(code: int, connection: socket.socket, templates: HotTemplates, hot_pages: HotPages | None) -> NoReturn:
    """Ends as Python does, adapters closing their connections, but for the tearing down of what the parent shares."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        flush_files()
    finally:
        let_go(connection)
        answer_on(connection)({"ending": code})
        with contextlib.suppress(Exception):
            templates.note()
            if hot_pages is not None:
                hot_pages.note()
        os._exit(code)


def let_go(connection: socket.socket) -> None:
    """Of streams and locks, at once: the kernel takes the memory apart first, which at this size is felt."""
    try:
        # Not all up to the limit: that may be a thousand million.
        there = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return
    for descriptor in there:
        if descriptor != connection.fileno():
            with contextlib.suppress(OSError):
                os.close(descriptor)


def flush_files() -> None:
    """Those that nobody has closed, the standard streams among them."""
    kinds = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    unclosed = [each for each in gc.get_objects() if type(each) in kinds]
    for stream in (sys.stdout, sys.stderr, *unclosed):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
