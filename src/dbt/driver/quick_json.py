"""Writes dbt's JSON artifacts with the encoder in C: the same bytes in a fraction of the time.

`json.dump` encodes piece by piece in Python, and a manifest has millions of pieces; `JSONEncoder.encode` does it in C.
"""

from __future__ import annotations

import json
import types
from typing import Any


def install() -> None:
    """From now on, for dbt's `write_json` and for nothing else."""
    from dbt_common.clients import system

    if getattr(system, "json", None) is not json:
        return
    quick = types.ModuleType(json.__name__)
    quick.__dict__.update(json.__dict__)
    quick.__dict__["dump"] = dump
    system.json = quick  # type: ignore[attr-defined]


def dump(obj: Any, fp: Any, **options: Any) -> None:
    """Stands in for `json.dump`."""
    if options.keys() != {"cls"} or not isinstance(options["cls"], type):
        return json.dump(obj, fp, **options)
    try:
        text = options["cls"]().encode(obj)
    except Exception:
        # fails in the way it is known to fail: what comes before the culprit is written
        return json.dump(obj, fp, **options)
    fp.write(text)
