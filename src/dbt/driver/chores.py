"""What dbt prepares lazily in every process, done beforehand, in small steps while no run waits for a fork.

It changes nothing that dbt computes: methods that mashumaro would compile when they are first called, JSON schemas that
dbt would build when it first validates with them, and caches of the standard library.
"""

from __future__ import annotations

import inspect
import linecache
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from warm_imports import import_module

# Classes whose JSON schema dbt builds when it first validates with it: (module, names). dbt keeps 128 of them.
SCHEMAS = (
    ("dbt.contracts.project", ("ProjectFlags", "Project", "PackageConfig", "ProfileConfig", "Configuration")),
    ("dbt.contracts.selection", ("SelectorFile",)),
    ("dbt.artifacts.resources", ("Hook", "ModelConfig", "NodeConfig", "SeedConfig", "SnapshotConfig", "SourceConfig")),
    ("dbt.artifacts.resources", ("Contract", "ExposureConfig", "TestConfig", "UnitTestConfig")),
    ("dbt.contracts.graph.nodes", ("ModelNode", "SqlNode", "GenericTestNode", "SingularTestNode")),
    ("dbt.contracts.graph.nodes", ("SeedNode", "SnapshotNode", "HookNode", "AnalysisNode")),
    ("dbt.contracts.graph.unparsed", ("UnparsedNodeUpdate", "UnparsedModelUpdate", "UnparsedSourceDefinition")),
    ("dbt.contracts.graph.unparsed", ("UnparsedMacroUpdate", "UnparsedExposure", "UnparsedUnitTest")),
    ("dbt.contracts.graph.unparsed", ("UnparsedAnalysisUpdate",)),
    ("dbt.task.test", ("TestResultData",)),
)

# Where classes live that every run reads or writes.
CLASSES_OF = ("dbt.", "dbt_common.")


def chores(adapters: Iterable[str]) -> Iterator[None]:
    """Each step takes a fraction of a second; the most useful come first."""
    adapters = list(adapters)
    yield from module_caches()
    yield from jinja(adapters)
    for module, names in SCHEMAS[:2]:
        yield from schemas(import_module(module), names)
    for adapter in adapters:
        yield from adapter_schemas(adapter)
    yield from methods()
    for module, names in SCHEMAS[2:]:
        yield from schemas(import_module(module), names)


def schemas(module: Any, names: Iterable[str]) -> Iterator[None]:
    for name in names:
        attempt(lambda: getattr(module, name).json_schema())
        yield


def adapter_schemas(adapter: str) -> Iterator[None]:
    plugin = getattr(import_module(f"dbt.adapters.{adapter}"), "Plugin", None)
    attempt(lambda: plugin.credentials.json_schema())
    yield
    attempt(lambda: plugin.adapter.AdapterSpecificConfigs.json_schema())
    yield


class Halt(Exception):
    """Stops a method right after it was compiled."""


class Nothing:
    """Stands in for what a method works on: whatever is done to it raises."""

    def __getattribute__(self, name: str) -> Any:
        raise Halt

    def _refuse(self, *_: Any) -> Any:
        raise Halt

    __getitem__ = __setitem__ = __contains__ = __iter__ = __len__ = __bool__ = __eq__ = _refuse
    __hash__ = None  # type: ignore[assignment]


def methods() -> Iterator[None]:
    """The first call of a method of mashumaro's compiles it and puts the compiled one in its place."""
    common: Any = import_module("dbt_common.dataclass_schema")
    manifest: Any = import_module("dbt.contracts.graph.manifest")
    try:
        classes = sorted(below(common.dbtClassMixin), key=lambda cls: (cls.__module__, cls.__qualname__))
        for cls in classes:
            if cls.__module__.startswith(CLASSES_OF):
                attempt(lambda: cls.from_dict(Nothing()))
                attempt(lambda: cls.to_dict(instance_of(cls)))
                yield
        attempt(lambda: manifest.Manifest.from_msgpack(b"", decoder=lambda _: Nothing()))
        attempt(lambda: manifest.Manifest.to_msgpack(instance_of(manifest.Manifest)))
        yield
    except AttributeError:
        # another dbt than the ones known
        return


def below(cls: type) -> set[type]:
    found: set[type] = set()
    for each in cls.__subclasses__():
        found |= {each, *below(each)}
    return found


def instance_of(cls: type) -> Any:
    """Says that it is an instance, for the compiler to find the class by, and nothing else."""

    class Pretender(Nothing):
        def __getattribute__(self, name: str) -> Any:
            if name == "__class__":
                return cls
            # the compiled method, called by the one that compiled it
            raise Halt

    return Pretender()


def module_caches() -> Iterator[None]:
    """For `inspect.stack`, which dbt asks who has defined a flag of its adapter."""
    attempt(lambda: inspect.getmodule(sys._getframe(), "nowhere"))
    yield
    for name, module in list(sys.modules.items()):
        if name.startswith(("click.", "dbt.cli.", "dbt.adapters.")) or name in FRAMES:
            attempt(lambda: linecache.getlines(inspect.getsourcefile(module) or "", module.__dict__))
    yield


# Modules that stand on the stack then.
FRAMES = frozenset({"dbt.parser.manifest", "dbt_common.behavior_flags", "inspect", "contextlib"})


def jinja(adapters: Iterable[str]) -> Iterator[None]:
    """Its lexer, the comment of every query, and the words that dbt renders, although they are plain ones."""
    common: Any = import_module("dbt_common.clients.jinja")
    connection: Any = import_module("dbt.adapters.contracts.connection")
    attempt(lambda: common.get_environment().compile("{{ one }}{% if two %}{% endif %}"))
    yield
    lines = (QUERY_COMMENT, getattr(connection, "DEFAULT_QUERY_COMMENT", ""), "{% endmacro %}")
    attempt(lambda: common.get_environment().compile("\n".join(lines)))
    yield
    for adapter in adapters:
        yield from words((adapter, f"dbt_{adapter}"))
    yield from words(WORDS)


def words(texts: Iterable[str]) -> Iterator[None]:
    common: Any = import_module("dbt_common.clients.jinja")
    for text in texts:
        attempt(lambda: common.get_environment(native=True).compile(text))
        yield


# As dbt_project.yml and profiles have them, and those of dbt's own packages.
FOLDERS = ("analyses", "docs", "macros", "models", "seeds", "snapshots", "tests")
WORDS = (*FOLDERS, "dbt", "1.0", "1.0.0", "target", "logs", "dev", "prod")

# The first line of the macro that dbt makes of a query comment.
QUERY_COMMENT = "{%- macro query_comment_macro(connection_name, node) -%}"


def attempt(step: Any) -> None:
    try:
        step()
    except Exception:
        # dbt itself will say so, should it ever need this
        pass
