"""What importing dbt took from the environment: a run for which any of it differs needs a new process.

Libraries read variables when they are imported (a time zone, a switch, a URL) and keep what they found. A forked run
gets an environment of its own only afterwards.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

# Read by the interpreter as it starts, by libraries in C, or by walking through the whole environment.
PREFIXES = (
    *("PYTHON", "LC_", "LANG", "LD_", "DYLD_", "MALLOC_", "GLIBC_"),
    *("NETWORKX_", "OMP_", "OPENBLAS_", "MKL_", "GRPC_", "ARROW_"),
)


class ImportEnvironment:
    """The variables that were read, and the values they had."""

    def __init__(self) -> None:
        self._at_start = dict(os.environ)
        given = given_names(os.environ)
        self._added = {name: value for name, value in os.environ.items() if name not in given}
        self._read: set[str] = set()

    def add_own(self) -> None:
        """Adds what Python adds to an environment: in the C locale, an `LC_CTYPE` with UTF-8."""
        for name, value in self._added.items():
            os.environ.setdefault(name, value)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notes the names that are looked up meanwhile."""
        environ_class: Any = type(os.environ)
        look_up = environ_class.__getitem__

        def noted(environ: Any, name: Any) -> Any:
            # who walks through all of it looks for a prefix: those are listed above
            if isinstance(name, str) and sys._getframe(1).f_code.co_name != "__iter__":
                self._read.add(name)
            return look_up(environ, name)

        environ_class.__getitem__ = noted
        try:
            yield
        finally:
            environ_class.__getitem__ = look_up

    def differing(self) -> str | None:
        """Name of a variable that importing has read and that is another one now."""
        now = os.environ
        for name in sorted(self._read | self._at_start.keys() | now.keys()):
            if (name in self._read or name.startswith(PREFIXES)) and now.get(name) != self._at_start.get(name):
                return name
        return None


def given_names(otherwise: Iterable[str]) -> set[str]:
    """Names in the environment that this process was started with."""
    try:
        with open("/proc/self/environ", "rb") as file:
            return {os.fsdecode(entry.partition(b"=")[0]) for entry in file.read().split(b"\0")}
    except OSError:
        return set(otherwise)
