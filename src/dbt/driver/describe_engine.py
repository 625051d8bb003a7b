"""Prints, as one JSON object, which dbt this Python has, without importing it: that would take seconds."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata


def version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def folders_of(package: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(package)
    except ImportError:
        return []
    return list(spec.submodule_search_locations or []) if spec else []


def version_in(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(r"""^version\s*=\s*["']([^"']+)""", file.read(), re.MULTILINE)
    except OSError:
        return None
    return found.group(1) if found else None


def adapters() -> Iterator[dict[str, str]]:
    """Found as dbt itself finds them for `--version`: the folders of dbt.adapters that carry a version."""
    for folder in folders_of("dbt.adapters"):
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name, "__version__.py")
            if os.path.exists(path):
                yield {"name": name, "version": version_of(f"dbt-{name}") or version_in(path) or "unknown"}


def core_version() -> str | None:
    for folder in folders_of("dbt"):
        if os.path.exists(os.path.join(folder, "cli", "main.py")):
            return version_of("dbt-core") or version_in(os.path.join(folder, "__version__.py"))
    return None


def describe() -> dict[str, object]:
    site_packages = sysconfig.get_path("purelib")
    found: dict[str, object] = {
        "python": sys.executable,
        "pythonVersion": platform.python_version(),
        "version": core_version(),
        # dbt v2 is another program under a package of its own.
        "dbtV2": version_of("dbt-oss") or version_of("dbt"),
        "adapters": list(adapters()),
        "sitePackages": site_packages,
    }
    # Anything installed, upgraded or removed changes the folder's time, and so the fingerprint.
    parts: list[object] = [
        found,
        os.path.realpath(sys.executable),
        version_of("dbt-common"),
        version_of("dbt-adapters"),
    ]
    with contextlib.suppress(OSError):
        parts.append(os.stat(site_packages).st_mtime_ns)
    text = json.dumps(parts, sort_keys=True)
    return {**found, "fingerprint": hashlib.sha256(text.encode()).hexdigest()}


if __name__ == "__main__":
    print(json.dumps(describe()))
