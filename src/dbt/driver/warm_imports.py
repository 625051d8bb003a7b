"""Every module that a run imports, brought in before any run.

Nothing here invokes dbt, registers an adapter or connects: a process that did could not be forked safely any more.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType

# Imported as a whole, with everything below: which task runs is known only when a command comes.
PACKAGES = ("dbt.task", "dbt.runners", "dbt.parser", "dbt.compilation", "dbt.graph", "dbt.context", "dbt.config")

# Imported lazily in the midst of a run, by dbt and by what it uses.
MODULES = (
    "dbt.cli.main",
    "_posixshmem",
    "_strptime",
    "agate",
    "babel.core",
    "babel.dates",
    "babel.numbers",
    "daff",
    "dbt.adapters.__about__",
    "dbt_common.clients.agate_helper",
    "google.protobuf.descriptor_pb2",
    "multiprocessing.dummy",
    "multiprocessing.pool",
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.resource_tracker",
    "netrc",
    "networkx",
    "resource",
    "sqlparse",
    "sqlparse.engine",
    "sqlparse.filters",
    "sqlparse.lexer",
)

# The same, below an adapter's package.
ADAPTER_MODULES = ("", ".__version__", ".environments.local")


def import_all(adapters: Iterable[str]) -> None:
    """Versions of dbt differ in what they have: what is not there is left out."""
    names = (f"dbt.adapters.{adapter}{module}" for adapter in adapters for module in ADAPTER_MODULES)
    for name in (*MODULES, *names):
        import_module(name)
    for name in PACKAGES:
        package = import_module(name)
        for module in pkgutil.walk_packages(getattr(package, "__path__", []), f"{name}."):
            import_module(module.name)


def import_module(name: str) -> ModuleType | None:
    """None where it is not there or does not work: a run that needs it says so itself."""
    before = set(sys.modules)
    try:
        return importlib.import_module(name)
    except Exception:
        # What a failed import leaves behind, a run's own attempt must not find.
        for left in set(sys.modules) - before:
            if left == name or left.startswith(f"{name}."):
                del sys.modules[left]
        return None


@contextmanager
def output_kept(into: bytearray) -> Iterator[None]:
    """What modules print when they are imported, such as warnings: every new process prints it as well."""
    sys.stderr.flush()
    name = f"printed.{os.getpid()}"
    with open(name, "w+b") as file:
        os.unlink(name)
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            into += file.read()
