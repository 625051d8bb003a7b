"""Tells whether code that this process has loaded is another one on disk by now."""

from __future__ import annotations

import os
import sys

Stamp = tuple[int, int, int] | None


def stamp(path: str) -> Stamp:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def names(folder: str) -> frozenset[str]:
    """Of packages and their versions; compiled files come and go."""
    try:
        return frozenset(os.listdir(folder)) - {"__pycache__"}
    except OSError:
        return frozenset()


class LoadedCode:
    """The files of all modules, and the folders in which installing or removing a package shows."""

    def __init__(self) -> None:
        files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        paths = {path for path in files if isinstance(path, str)}
        self._stamps = {path: stamp(path) for path in paths}
        self._names = {path: names(path) for path in sys.path if os.path.isdir(path)}

    def changed(self) -> str | None:
        """A path that is not what it was."""
        for folder, had in self._names.items():
            if names(folder) != had:
                return folder
        for path, before in self._stamps.items():
            if stamp(path) != before:
                return path
        return None
