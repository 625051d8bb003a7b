"""Writes dbt's JSON artifacts with the encoder in C: the same bytes in a fraction of the time.

`json.dump` encodes piece by piece in Python, and a manifest has millions of pieces; `JSONEncoder.encode` does it in C.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# Of what is written next: by section, the ready text of its members, or None for those that come with the object.
Texts = Mapping[str, Mapping[str, "str | None"]]
_texts: Texts | None = None


def install() -> None:
    """From now on, for dbt's `write_json` and for nothing else."""
    from dbt_common.clients import system

    if getattr(system, "json", None) is not json:
        return
    quick = types.ModuleType(json.__name__)
    quick.__dict__.update(json.__dict__)
    quick.__dict__["dump"] = dump
    system.json = quick  # type: ignore[attr-defined]


def installed() -> bool:
    from dbt_common.clients import system

    return getattr(getattr(system, "json", None), "dump", None) is dump


@contextmanager
def sections(texts: Texts) -> Iterator[Callable[[], bool]]:
    """The first object that is dumped meanwhile is completed by these. Yields what tells whether there was one."""
    global _texts
    _texts = texts
    try:
        yield lambda: _texts is None
    finally:
        _texts = None


def dump(obj: Any, fp: Any, **options: Any) -> None:
    """Stands in for `json.dump`."""
    global _texts
    if options.keys() != {"cls"} or not isinstance(options["cls"], type):
        return json.dump(obj, fp, **options)
    encode = options["cls"]().encode
    if _texts is not None:
        text = completed(obj, _texts, encode)
        _texts = None
        fp.write(text)
        return None
    try:
        text = encode(obj)
    except Exception:
        # fails in the way it is known to fail: what comes before the culprit is written
        return json.dump(obj, fp, **options)
    fp.write(text)


def completed(obj: Any, texts: Texts, encode: Callable[[Any], str]) -> str:
    """The object, a mapping of mappings, with the members whose text is there already in their places."""
    if not texts.keys() <= obj.keys():
        raise KeyError("a section is missing")
    parts = []
    for name, value in obj.items():
        if name in texts:
            members = texts[name].items()
            inner = (f"{encode(key)}: {encode(value[key])}" if text is None else text for key, text in members)
            parts.append(f"{encode(name)}: {{{', '.join(inner)}}}")
        else:
            parts.append(f"{encode(name)}: {encode(value)}")
    return f"{{{', '.join(parts)}}}"
