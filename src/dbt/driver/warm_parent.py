"""A process that has imported dbt and forks a child for each run.

    python warm_parent.py --socket PATH [--projects N] [--memory BYTES] [--no-fork]

It is started in an empty folder of its own, with the environment that dbt is to be imported in; it says `ready` on
stdout when it can fork, and `retired` when it takes no runs any more. When stdin ends, the server is gone: nothing new
is accepted, and it ends with its last child.

A job connects to the socket, at any time, and sends two lines of JSON. The first announces a run, so that all is there
when the job has done what else it has to do; the second is the run:

    {"parseState": "/…" | null, "stdout": "/…", "stderr": "/…", "events": "/…"}
    {"args": [...], "cwd": "/…", "env": {...}, "manifest": "/…" | null}

where stdout, stderr and events are Unix sockets of the job's, to which the child connects, parseState is the path of
the project's partial_parse.msgpack, and manifest that of a manifest.json to work from instead. Answers, a line of JSON
each, on the same connection:

    {"error": "…"}         nothing was started and nothing will be;
    {"pid": 123}           the child is there, in a session of its own. It runs the command once the job has sent a
                           byte on stdout; if the job closes that connection instead, it ends without a trace;
    {"handedOver": true}   dbt took the project's manifest from memory;
    {"ending": 0}          the child's own word for its exit code: it has let go of all but its memory;
    {"exit": 0, "cpuMs": …, "maxRssKb": …} or {"signal": 9, …}: how it ended. Then the connection is closed.

The job keeps the connection open: without it, dbt is stopped. {"stats": true} is answered with what the parent holds.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
import shutil
import signal
import socket
import sys


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--projects", type=int, default=4)
    parser.add_argument("--memory", type=int, default=1 << 30)
    parser.add_argument("--no-fork", action="store_true")
    options = parser.parse_args()
    # A terminal's Ctrl-C is the server's to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = listen(options.socket)
    # No compiled files in a folder that belongs to another program.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True

    import chores
    import describe_engine
    import forked_run
    import forking
    import hot_templates
    import import_environment
    import loaded_code
    import native_threads
    import parent
    import quick_json
    import quick_lookups
    import quick_relations
    import spare_process
    import warm_imports

    sys.dont_write_bytecode = before
    drop_own_folder()
    adapters = [adapter["name"] for adapter in describe_engine.adapters()]
    imported = import_environment.ImportEnvironment()
    printed = bytearray()
    threads = native_threads.NativeThreads()
    alone = contextlib.nullcontext() if options.no_fork else threads.none_started()
    with alone, imported.watched(), warm_imports.output_kept(printed):
        warm_imports.import_all(adapters)
        quick_lookups.install()
    quick_json.install()
    quick_relations.install()
    templates = hot_templates.HotTemplates()
    templates.install()
    # once here rather than in each child
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()
    code = loaded_code.LoadedCode()
    warmth = forked_run.Warmth(imported, threads, bytes(printed), code, chores.chores(adapters), templates)
    forking.settle()
    parent.report("ready")
    if options.no_fork:
        spare_process.serve_once(warmth, listener)
        return
    parent.Parent(warmth, listener, parent.Limits(options.projects, options.memory)).serve()
    remove_own_files(options.socket)
    # Python would tear down what is shared with nobody any more, at length.
    os._exit(0)


def remove_own_files(socket_path: str) -> None:
    """The server does so as well, but it may be gone."""
    folder = os.path.dirname(socket_path)
    own = os.getcwd()
    for run in glob.glob(os.path.join(folder, "run-*")):
        shutil.rmtree(run, ignore_errors=True)
    for path in (socket_path, os.path.join(own, ".env"), os.path.join(folder, "log")):
        with contextlib.suppress(OSError):
            os.unlink(path)
    for path in (own, folder):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def listen(path: str) -> socket.socket:
    """Jobs may come while dbt is still being imported: they wait."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


def drop_own_folder() -> None:
    """Nothing in this folder may shadow a module of dbt or of a project."""
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != here]


if __name__ == "__main__":
    main()
