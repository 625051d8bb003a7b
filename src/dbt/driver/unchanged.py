"""Proves that an object, with everything that can be reached from it, is what it was."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import threading
from itertools import chain
from operator import is_
from typing import Any

# What cannot change, and locks, which nothing is computed from.
LEAVES = (
    *(str, int, float, bool, bytes, type(None), datetime.date, datetime.time, datetime.timedelta, enum.Enum),
    *(type(threading.Lock()), type(threading.RLock())),
)


class Unprovable(Exception):
    """Something that may change without a trace can be reached."""


class Witness:
    """What an object and all that it consists of held when this was made.

    Compared are references, not values: whatever was put in the place of something, were it equal to it, is a change. As
    what cannot change is the same as long as the reference is, and what can is listed, nothing is missed.
    """

    __slots__ = ("_lengths", "_parts", "_then")

    def __init__(self, root: Any) -> None:
        # lists, and of mappings both keys and values: views, which show what is there when they are looked at
        self._parts: list[Any] = []
        seen: set[int] = set()
        waiting = [root]
        while waiting:
            value = waiting.pop()
            kind = type(value)
            if issubclass(kind, LEAVES):
                continue
            if kind in (tuple, frozenset):
                waiting.extend(value)
                continue
            if id(value) in seen:
                continue
            seen.add(id(value))
            if kind is list:
                self._parts.append(value)
            else:
                mapping = value if kind is dict else attributes(value)
                self._parts += [mapping.keys(), mapping.values()]
                waiting.extend(mapping)
                value = mapping.values()
            waiting.extend(value)
        self._lengths = list(map(len, self._parts))
        self._then = tuple(chain.from_iterable(self._parts))

    def holds(self) -> bool:
        """Whether all of it is still so."""
        # equal lengths first: then the nth of all is the nth of the same part
        if list(map(len, self._parts)) != self._lengths:
            return False
        return all(map(is_, chain.from_iterable(self._parts), self._then))


def attributes(value: Any) -> dict[str, Any]:
    """Those of a data class that keeps all it has in them."""
    kind = type(value)
    slots = any(getattr(each, "__slots__", ()) for each in kind.__mro__)
    if not dataclasses.is_dataclass(kind) or slots or issubclass(kind, (dict, list, set, tuple)):
        raise Unprovable(kind)
    return value.__dict__
