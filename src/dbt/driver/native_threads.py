"""Keeps libraries from starting threads of their own as they are imported: beside a thread, no process can be forked.

numpy's OpenBLAS starts one for each core, and the allocator in pyarrow one that tidies up. OpenBLAS gets its threads
back in each run; what the other one does in the background, the allocator then does as it goes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WITHOUT = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
# How builds of OpenBLAS call the same function.
SETTERS = tuple(
    f"{prefix}openblas_set_num_threads{suffix}" for prefix in ("scipy_", "") for suffix in ("64_", "_64", "")
)
# Where OpenBLAS looks for a number, in this order.
NUMBERS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")


class NativeThreads:
    def __init__(self) -> None:
        self._setters: list[Any] = []

    @contextmanager
    def none_started(self) -> Iterator[None]:
        """While libraries are imported."""
        before = {name: os.environ.get(name) for name in WITHOUT}
        os.environ.update(WITHOUT)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        self._setters = [setter for path in sorted(loaded("openblas")) if (setter := setter_of(path)) is not None]

    def give_back(self) -> None:
        """In a run, whose environment is that of the import in all that these libraries read."""
        if not self._setters:
            return
        given = (os.environ.get(name, "") for name in NUMBERS)
        number = next((int(value) for value in given if value.isdecimal() and int(value) > 0), None)
        for setter in self._setters:
            setter(number or len(os.sched_getaffinity(0)))


def loaded(part_of_name: str) -> set[str]:
    """Paths of the libraries in this process whose file's name has this in it."""
    try:
        with open("/proc/self/maps", encoding="utf-8") as file:
            paths = {line.rstrip("\n").split(" ", 5)[-1].strip() for line in file if "/" in line}
    except OSError:
        return set()
    return {path for path in paths if part_of_name in os.path.basename(path)}


def setter_of(path: str) -> Any:
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return None
    setter = next((found for name in SETTERS if (found := getattr(library, name, None)) is not None), None)
    if setter is not None:
        setter.argtypes, setter.restype = [ctypes.c_int], None
    return setter
