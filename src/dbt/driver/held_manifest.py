"""A project's parse state, kept in memory between runs.

The reading of `partial_parse.msgpack` is spared, and what dbt computes from it in each run: how its nodes are written,
and their graph. dbt itself still decides whether the state fits (version, vars, profile, target, environment, project
files), finds out which files changed, and parses those.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from prepared_graph import PreparedGraph
from prepared_nodes import PreparedNodes

Identity = tuple[int, int, int, int]


def identity(path: str) -> Identity | None:
    """Tells one version of a file from another without reading it; None where there is no file."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


class HeldManifest:
    """The manifest that a `partial_parse.msgpack` holds, read once."""

    def __init__(self, path: str) -> None:
        from dbt.contracts.graph.manifest import Manifest
        from dbt.parser.manifest import extended_mashumuro_decoder

        with open(path, "rb") as file:
            self._bytes = file.read()
        # The first call compiles the method and puts the compiled one in its place, which `install` then wraps.
        self._manifest = Manifest.from_msgpack(self._bytes, decoder=extended_mashumuro_decoder)
        # A semaphore that all forks would share, so that one killed while it holds it would stop the others for good.
        self._manifest._lock = None
        self._prepared: list[PreparedGraph | PreparedNodes] = []
        # that nothing of it is left to do for runs
        self.is_prepared = False

    def prepare(self) -> Iterator[None]:
        """In small steps. What is not done by then, or fails with this version of dbt, runs do themselves."""
        left = 0
        for kind in (PreparedGraph, PreparedNodes):
            try:
                prepared = kind(self._manifest)
                self._prepared.append(prepared)
                yield
                yield from prepared.steps()
                left += prepared.left
            except Exception:
                traceback.print_exc()
                left += 1
        self.is_prepared = left == 0

    @property
    def project(self) -> str:
        """Its name."""
        return self._manifest.metadata.project_name or ""

    def texts(self) -> Iterator[str]:
        """Of all templates that runs may compile."""
        for macro in list(self._manifest.macros.values()):
            yield macro.macro_sql
        for node in list(self._manifest.nodes.values()):
            text = getattr(node, "raw_code", None)
            if text:
                yield text

    def install(self, on_handed_over: Callable[[], None]) -> None:
        """In a forked child: when dbt decodes exactly these bytes, it gets the manifest that is there already."""
        from dbt.contracts.graph.manifest import Manifest

        decode = Manifest.from_msgpack

        def from_msgpack(data: Any, *args: Any, **kwargs: Any) -> Any:
            if self._manifest is None or data != self._bytes:
                return decode(data, *args, **kwargs)
            manifest, self._manifest = self._manifest, None
            # what dbt does last when it decodes: a lock of this process's own
            manifest = Manifest.__post_deserialize__(manifest)
            for prepared in self._prepared:
                prepared.install()
            on_handed_over()
            return manifest

        Manifest.from_msgpack = staticmethod(from_msgpack)  # type: ignore[method-assign]
