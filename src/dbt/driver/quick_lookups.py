"""What dbt finds out anew in each process, although it is the same in all of them: nothing else of it changes."""

from __future__ import annotations

import inspect
import pkgutil
import sys
from typing import Any

from warm_imports import import_module


def install() -> None:
    """From now on. What is not there in this version of dbt stays as it is."""
    remember_plugins()
    shorten_stacks()


def remember_plugins() -> None:
    """dbt looks through all that is installed for modules with its prefix: a fork is made only while that has not changed."""
    manager: Any = getattr(import_module("dbt.plugins.manager"), "PluginManager", None)
    look = getattr(manager, "__dict__", {}).get("get_prefixed_modules")
    prefix = getattr(manager, "PLUGIN_MODULE_PREFIX", None)
    if not isinstance(look, classmethod) or not isinstance(prefix, str):
        return
    found = {name: sys.modules.get(name) for _, name, _ in pkgutil.iter_modules() if name.startswith(prefix)}
    path = list(sys.path)
    # Others than those that dbt needs itself may start threads, beside which nothing could be forked.
    if None in found.values():
        return

    def get_prefixed_modules(cls: Any) -> Any:
        is_same = sys.path == path and cls.PLUGIN_MODULE_PREFIX == prefix
        if is_same and all(sys.modules.get(name) is module for name, module in found.items()):
            return dict(found)
        return look.__get__(None, cls)()

    manager.get_prefixed_modules = classmethod(get_prefixed_modules)


def shorten_stacks() -> None:
    """Who has defined a flag of an adapter is told by the nearest frames; dbt reads the source of all of them."""
    flags: Any = import_module("dbt_common.behavior_flags")
    rendered = getattr(flags, "BehaviorFlagRendered", None)
    look = getattr(rendered, "__dict__", {}).get("_default_source")
    if not isinstance(look, staticmethod) or look.__func__.__code__.co_names != LOOKED_UP:
        return

    def _default_source() -> str:
        frame = sys._getframe(1)
        while frame is not None:
            module = inspect.getmodule(frame)
            if module and module.__name__ != flags.__name__:
                return module.__name__
            frame = frame.f_back  # type: ignore[assignment]
        return "Unknown"

    rendered._default_source = staticmethod(_default_source)


# Names that the known one uses, in their order.
LOOKED_UP = ("inspect", "stack", "getmodule", "__name__")
