"""Which templates runs compile: each run notes them for the next, and a holder compiles them beforehand.

dbt compiles each macro that a run uses by Jinja, every time. The code is told by the template's text and by the kind of
environment alone, and it can't change.
"""

from __future__ import annotations

import hashlib
import inspect
import mmap
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any

DIGEST_BYTES = 16
# Those that were noted first go first.
NOTED = 2048
HEADER_BYTES = 8

# Of the method as it is known.
PARAMETERS = ["self", "source", "name", "filename", "raw", "defer_init"]

Key = tuple[type, bool, str]


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


class HotTemplates:
    """Digests, and no texts, lie in memory that a process shares with its forks: runs of others are among them."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, HEADER_BYTES + NOTED * DIGEST_BYTES)
        self._compiled: dict[Key, CodeType] = {}
        self._used: dict[str, None] = {}
        # until this is a run: one that parses a whole project compiles tens of thousands, each of them once
        self._keeps = True
        # dbt's own, unless it is one that works in another way
        self._jinja: Any = None

    def install(self) -> None:
        """From now on, for dbt's own environments and for nothing else."""
        try:
            import jinja2.utils
            from dbt_common.clients import jinja
        except ImportError:
            return
        original = jinja2.Environment.compile
        if list(inspect.signature(original).parameters) != PARAMETERS:
            return
        kinds = [getattr(jinja, name, None) for name in ("MacroFuzzEnvironment", "NativeSandboxEnvironment")]
        if any(kind is None or kind.compile is not original for kind in kinds):
            return
        self._jinja = jinja

        @jinja2.utils.internalcode
        def compile(environment: Any, source: Any, *args: Any, **kwargs: Any) -> Any:
            if type(source) is not str or args or kwargs or getattr(jinja, "MACRO_DEBUGGING", True):
                return original(environment, source, *args, **kwargs)
            key = (type(environment), environment.undefined is jinja2.Undefined, source)
            code = self._compiled.get(key) or original(environment, source)
            if self._keeps:
                self._compiled[key] = code
            # Others render plain values, which may be secrets.
            elif type(environment) is kinds[0] and len(self._used) < NOTED:
                self._used[source] = None
            return code

        for kind in kinds:
            kind.compile = compile  # type: ignore[union-attr]

    def begin(self) -> None:
        """In a fork that becomes a run."""
        self._keeps = False

    def note(self) -> None:
        """In a run that has ended."""
        noted = self._noted()
        # Threads that dbt has left behind may still compile.
        new = [each for source in list(self._used) if (each := digest(source)) not in noted]
        if new:
            last = [*noted, *new][-NOTED:]
            self._shared[HEADER_BYTES : HEADER_BYTES + len(last) * DIGEST_BYTES] = b"".join(last)
            self._shared[:HEADER_BYTES] = len(last).to_bytes(HEADER_BYTES, "big")

    def compile(self, texts: Iterable[str]) -> Iterator[None]:
        """Those of the texts that runs have used, in small steps."""
        noted = self._noted()
        if self._jinja is None or not noted:
            return
        for text in texts:
            if digest(text) in noted:
                try:
                    self._jinja.get_environment().compile(text)
                except Exception:
                    # dbt will say so, should it ever need this one
                    pass
                yield

    def _noted(self) -> dict[bytes, None]:
        count = min(int.from_bytes(self._shared[:HEADER_BYTES], "big"), NOTED)
        data = self._shared[HEADER_BYTES : HEADER_BYTES + count * DIGEST_BYTES]
        return {data[at : at + DIGEST_BYTES]: None for at in range(0, len(data), DIGEST_BYTES)}
