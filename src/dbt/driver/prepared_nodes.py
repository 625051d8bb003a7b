"""What dbt computes in each run from every node and macro of a manifest, computed once from a held one.

That is their part of manifest.json, which dbt writes after parsing and again at its end, and of `graph`, which Jinja
sees. It is taken for those nodes alone that a run has provably not touched; dbt computes all others as always.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from inspect import isfunction
from itertools import islice
from types import SimpleNamespace
from typing import Any

import quick_json
from unchanged import Unprovable, Witness

# Parts of a manifest that are mappings from ids to nodes and the like.
SECTIONS = (
    *("nodes", "sources", "macros", "docs", "exposures", "functions", "metrics", "groups"),
    *("semantic_models", "unit_tests", "saved_queries"),
)
# Of the manifest, that are replaced.
METHODS = ("write", "_map_nodes_to_map_resources", "build_flat_graph")
# As many are prepared in one step: a run that comes meanwhile waits for as long.
AT_ONCE = 20


class Prepared:
    """One node: what is written of it, and its dictionary in `graph`, which is given away once."""

    __slots__ = ("flat", "node", "text", "witness")

    def __init__(self, node: Any, text: str, flat: dict[str, Any] | None) -> None:
        self.node = node
        self.witness = Witness(node)
        self.text = text
        self.flat = flat

    def is_of(self, node: Any) -> bool:
        return node is self.node and self.witness.holds()


Section = dict[str, Prepared]


class PreparedNodes:
    def __init__(self, manifest: Any) -> None:
        from dbt.contracts.graph.manifest import Manifest, WritableManifest
        from dbt_common.clients import system

        self._manifest = manifest
        self._writable_class: Any = WritableManifest
        is_known = all(isfunction(vars(Manifest).get(name)) for name in METHODS)
        writes = WritableManifest.write.__globals__.get("write_json") is system.write_json and quick_json.installed()
        if not is_known or not writes:
            raise TypeError("dbt writes its manifest in another way than is known")
        self._sections: dict[str, Section] = {name: {} for name in SECTIONS if hasattr(manifest, name)}
        self._names = [each.name for each in dataclasses.fields(Manifest)]
        # nodes that are left to dbt in every run
        self.left = 0
        self._written = [each.name for each in dataclasses.fields(WritableManifest)]

    def steps(self) -> Iterator[None]:
        for name, section in self._sections.items():
            rest = iter(getattr(self._manifest, name).items())
            while some := dict(islice(rest, AT_ONCE)):
                try:
                    self._prepare(name, some, section)
                except Exception:
                    # dbt will say what is wrong with one of them
                    self.left += len(some)
                yield

    def _prepare(self, name: str, nodes: dict[str, Any], into: Section) -> None:
        from dbt.contracts.graph.manifest import Manifest
        from dbt_common.utils.encoding import JSONEncoder

        content: dict[str, Any] = dict.fromkeys(self._written, {})
        content["metadata"] = self._manifest.metadata
        content[name] = Manifest._map_nodes_to_map_resources(self._manifest, nodes)
        written = self._writable_class(**content).to_dict(omit_none=False, context={"artifact": True})[name]
        flat = self._flat(name, nodes)
        encode = JSONEncoder().encode
        for key, node in nodes.items():
            try:
                into[key] = Prepared(node, f"{encode(key)}: {encode(written[key])}", flat.get(key))
            except (Unprovable, TypeError, ValueError):
                self.left += 1

    def _flat(self, name: str, nodes: dict[str, Any]) -> dict[str, Any]:
        from dbt.contracts.graph.manifest import Manifest

        alone: Any = SimpleNamespace(**dict.fromkeys(self._names, {}))
        setattr(alone, name, nodes)
        Manifest.build_flat_graph(alone)
        flat = alone.flat_graph.get(name)
        # dbt 1.12 makes each of them when it is asked for
        return flat if type(flat) is dict else {}

    def install(self) -> None:
        """In a forked child."""
        from dbt.contracts.graph.manifest import Manifest

        write, to_resources, flatten = (
            Manifest.write,
            Manifest._map_nodes_to_map_resources,
            Manifest.build_flat_graph,
        )
        # what is being written: by section, the text of each node, or None where dbt makes it
        texts: dict[str, dict[str, str | None]] | None = None

        def _map_nodes_to_map_resources(manifest: Any, nodes: Any) -> Any:
            name = None if texts is None else self._section_of(manifest, nodes)
            if texts is None or name is None:
                return to_resources(manifest, nodes)
            section = self._sections[name]
            texts[name] = {
                key: prepared.text if (prepared := section.get(key)) and prepared.is_of(node) else None
                for key, node in nodes.items()
            }
            return to_resources(manifest, {key: node for key, node in nodes.items() if texts[name][key] is None})

        def written(manifest: Any, path: Any) -> Any:
            nonlocal texts
            if manifest is not self._manifest or texts is not None:
                return write(manifest, path)
            texts = {}
            try:
                with quick_json.sections(texts) as taken:
                    result = write(manifest, path)
                if taken():
                    return result
            except Exception:
                # fails in the way it is known to fail
                pass
            finally:
                texts = None
            return write(manifest, path)

        def build_flat_graph(manifest: Any) -> None:
            kept = self._take_flat() if manifest is self._manifest else {}
            whole = {name: getattr(manifest, name) for name in kept}
            try:
                for name, flat in kept.items():
                    setattr(manifest, name, {key: node for key, node in whole[name].items() if key not in flat})
                flatten(manifest)
            finally:
                for name, nodes in whole.items():
                    setattr(manifest, name, nodes)
            for name, flat in kept.items():
                flat.update(manifest.flat_graph[name])
                manifest.flat_graph[name] = {key: flat[key] for key in whole[name]}

        Manifest._map_nodes_to_map_resources = _map_nodes_to_map_resources  # type: ignore[method-assign]
        Manifest.write = written  # type: ignore[method-assign]
        Manifest.build_flat_graph = build_flat_graph  # type: ignore[method-assign]

    def _section_of(self, manifest: Any, nodes: Any) -> str | None:
        return next((name for name in self._sections if getattr(manifest, name) is nodes), None)

    def _take_flat(self) -> dict[str, dict[str, Any]]:
        """By section, what there is for nodes that are as they were. Jinja may change it: another call finds nothing."""
        taken: dict[str, dict[str, Any]] = {}
        for name, section in self._sections.items():
            nodes = getattr(self._manifest, name)
            flat = {}
            for key, prepared in section.items():
                if prepared.flat is not None and prepared.is_of(nodes.get(key)):
                    flat[key] = prepared.flat
                prepared.flat = None
            if flat:
                taken[name] = flat
        return taken
