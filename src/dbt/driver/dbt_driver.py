"""Runs one dbt command in this process, exactly as the `dbt` program does, and reports its structured events.

    python dbt_driver.py [--events-fd N] [--debug-events 1] [--manifest FILE] -- ARGUMENTS OF DBT...

dbt renders its own text: its stdout, stderr, messages and exit codes are left as they are. The events go to a file
descriptor of their own, one JSON object a line, in the form of dbt's `--log-format json`, unscrubbed.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

LEVELS = frozenset({"info", "warn", "error"})
# Debug events that progress and timings need: node started, node finished, command completed,
# parse state reused, artifact written.
DEBUG_CODES = frozenset({"Q024", "Q025", "Q039", "I017", "P001"})
# A reader that stalls must not eat the memory of dbt: events beyond this many waiting ones are dropped.
QUEUE_LIMIT = 100_000
# How long the end of dbt may wait for the last events to be taken.
FLUSH_SECONDS = 5.0
# How long dbt has after Ctrl-C where the process that started it is gone.
ORPHAN_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class Invocation:
    """One dbt command. What is None is left as the process has it; a forked child sets all of it."""

    args: Sequence[str]
    events_fd: int | None = None
    # A manifest.json to work from instead of parsing the project.
    manifest_path: str | None = None
    # Whether all of dbt's debug events are wanted.
    debug_events: bool = False
    cwd: str | None = None
    env: Mapping[str, str] | None = None
    # Descriptors that become stdin, stdout and stderr.
    stdio: tuple[int, int, int] | None = None


class EventWriter:
    """Takes events from dbt's threads and writes them to a descriptor from a thread of its own."""

    def __init__(self, fd: int, to_json: Callable[[Any], str], every: bool = False) -> None:
        self._fd = fd
        self._every = every
        self._to_json = to_json
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._gone = False
        self._thread = threading.Thread(target=self._write_all, name="events", daemon=True)
        self._thread.start()

    def callback(self, message: Any) -> None:
        """Only enqueues and never raises: an exception here would fail the node that dbt is running."""
        try:
            if self._gone or self._queue.qsize() > QUEUE_LIMIT:
                return
            info = message.info
            if self._every or info.level in LEVELS or info.code in DEBUG_CODES:
                self._queue.put(message)
        except Exception:
            pass

    def close(self, timeout: float = FLUSH_SECONDS) -> None:
        """Waits, but not for ever, until the events so far are written; then closes the descriptor."""
        self._queue.put(None)
        self._thread.join(timeout)
        if not self._thread.is_alive():
            os.close(self._fd)

    def _write_all(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                line = self._to_json(message) + "\n"
            except Exception:
                continue
            try:
                write_fully(self._fd, line.encode("utf-8", "backslashreplace"))
            except OSError:
                # The reader went away; dbt goes on without it.
                self._gone = True
                return


def write_fully(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def open_events(fd: int | None, every: bool = False) -> EventWriter | None:
    """The writer of events, or None where there is no reader or this dbt has no events to give."""
    if fd is None:
        return None
    try:
        from dbt_common.events.functions import msg_to_json

        # No child of dbt may hold the events open, nor dbt's git or adapter processes write to them.
        os.set_inheritable(fd, False)
        os.set_blocking(fd, True)
    except (ImportError, OSError):
        return None
    return EventWriter(fd, msg_to_json, every)


def enter(invocation: Invocation) -> None:
    """Gives this process the streams, folder, environment and argv of the invocation."""
    if invocation.stdio is not None:
        for target, source in enumerate(invocation.stdio):
            os.dup2(source, target)
    if invocation.cwd is not None:
        os.chdir(invocation.cwd)
    if invocation.env is not None:
        os.environ.clear()
        os.environ.update(invocation.env)
        time.tzset()
    # dbt reads its own command line from here, for `invocation_command` and for deprecations.
    sys.argv = ["dbt", *invocation.args]
    # A parent that ignores SIGINT (a background shell, nohup) must not make dbt impossible to cancel.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def relax_collector() -> None:
    """A command makes many objects that live as long as it does: looking through them again and again frees nothing."""
    gc.set_threshold(100_000, 50, 100)


def invoke(invocation: Invocation) -> int:
    """Runs the command and returns dbt's exit code. Also meant for a child forked after dbt was imported."""
    enter(invocation)
    from dbt.cli.main import cli

    events = open_events(invocation.events_fd, invocation.debug_events)
    # Where dbt's own runner hands its callbacks and its manifest over.
    handed: dict[str, Any] = {}
    if events is not None:
        handed["callbacks"] = [events.callback]
    try:
        if invocation.manifest_path is not None:
            handed["manifest"] = read_manifest(invocation.manifest_path)
        # dbt's group, as its console script calls it.
        cli.main(args=list(invocation.args), prog_name="dbt", obj=handed or None)
        return 0
    except SystemExit as stop:
        return exit_code(stop)
    finally:
        # dbt has ended, and its exit code stands: a late Ctrl-C must not turn it into a death by signal.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if events is not None:
            events.close()


def read_manifest(path: str) -> Any:
    """The manifest of a project that is not here; with the graph that macros look at. Ends dbt where it is none."""
    from dbt.artifacts.resources import GenericTest
    from dbt.contracts.graph.manifest import Manifest, WritableManifest
    from dbt.contracts.graph.nodes import GenericTestNode

    try:
        manifest = Manifest.from_writable_manifest(WritableManifest.read_and_check_versions(path))
        with open(path, encoding="utf-8") as file:
            nodes = json.load(file)["nodes"]
        # dbt reads every test as a singular one, the first of its classes that fits, and then lacks its arguments.
        for unique_id, node in nodes.items():
            if node.get("test_metadata"):
                manifest.nodes[unique_id] = GenericTestNode.from_resource(GenericTest.from_dict(node))
        # Some adapters load a seed from where the manifest was made; its file was sent, and lies here.
        for seed in manifest.nodes.values():
            is_own = seed.package_name == manifest.metadata.project_name
            if is_own and getattr(seed, "root_path", None) is not None:
                seed.root_path = os.getcwd()
        manifest.build_flat_graph()
        return manifest
    except Exception as error:
        print(f"The manifest that was sent can't be used: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def exit_code(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code
    print(stop.code, file=sys.stderr)
    return 1


def parse_argv(argv: Sequence[str]) -> Invocation:
    given: dict[str, str] = {}
    rest = list(argv)
    while rest[:1] in (["--events-fd"], ["--debug-events"], ["--manifest"]) and len(rest) > 1:
        given[rest[0]] = rest[1]
        rest = rest[2:]
    if rest[:1] != ["--"]:
        raise SystemExit("usage: dbt_driver.py [--events-fd N] [--debug-events 1] [--manifest FILE] -- ARGS...")
    events_fd = int(given["--events-fd"]) if "--events-fd" in given else None
    return Invocation(
        args=rest[1:],
        events_fd=events_fd,
        manifest_path=given.get("--manifest"),
        debug_events="--debug-events" in given,
    )


def end_with_parent(parent: int) -> None:
    """Who started dbt keeps its log and its turn in the workspace: without it, dbt must not go on unseen."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(ORPHAN_GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    invocation = parse_argv(sys.argv[1:])
    relax_collector()
    threading.Thread(target=end_with_parent, args=(os.getppid(),), name="parent", daemon=True).start()
    # Python put the driver's folder first; nothing in it may shadow a module of dbt or of the project.
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != here]
    try:
        code = invoke(invocation)
    except KeyboardInterrupt:
        # Before dbt has taken over (its import takes seconds), Ctrl-C ends dbt as Python does it, by the signal;
        # only the stack trace is left out.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    sys.exit(code)


if __name__ == "__main__":
    main()
