"""The graph of a held manifest, linked once: each run links and checks its own, which is equal unless something changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice
from typing import Any

# What of a manifest dbt links nothing of.
NOT_LINKED = frozenset(
    {
        *("macros", "docs", "groups", "selectors", "files", "metadata", "flat_graph", "state_check"),
        *("source_patches", "disabled", "env_vars", "fixtures"),
    }
)

SAMPLE = 100

Edges = list[list[tuple[Any, Any]]]


def edges_of(manifest: Any) -> Edges:
    """All that the graph is made from, in order: who there is, and what each depends on."""
    names = [each.name for each in dataclasses.fields(manifest) if not each.name.startswith("_")]
    return [
        [(node.unique_id, getattr(node, "depends_on_nodes", None)) for node in getattr(manifest, name).values()]
        for name in names
        if name not in NOT_LINKED
    ]


class PreparedGraph:
    def __init__(self, manifest: Any) -> None:
        from dbt.compilation import Linker

        linker = Linker()
        linker.link_graph(manifest)
        if vars(linker).keys() != {"graph"}:
            raise TypeError("dbt links in another way than is known")
        self._graph: Any = linker.graph
        # The lists are the nodes' own, and may grow.
        self._edges = [[(name, None if on is None else list(on)) for name, on in kind] for kind in edges_of(manifest)]
        # A version of dbt that says more in its summary keeps its own way of making it.
        sample = Linker()
        sample.graph = linker.graph.subgraph(list(islice(linker.graph, SAMPLE)))
        self._has_summary = quick_summary(sample, manifest) == sample.get_graph_summary(manifest)
        # what is left to dbt in every run
        self.left = 0 if self._has_summary else 1

    def steps(self) -> Iterator[None]:
        """It is made in one."""
        return iter(())

    def install(self) -> None:
        """In a forked child."""
        from dbt.compilation import Linker

        link = Linker.link_graph

        def link_graph(linker: Any, manifest: Any) -> Any:
            is_new = vars(linker).keys() == {"graph"} and not linker.graph
            if self._graph is None or not is_new or edges_of(manifest) != self._edges:
                return link(linker, manifest)
            # dbt adds to it: it is there for one time. That it has no cycle was found when it was made.
            linker.graph, self._graph = self._graph, None
            return None

        Linker.link_graph = link_graph  # type: ignore[method-assign]
        if self._has_summary:
            Linker.get_graph_summary = quick_summary  # type: ignore[method-assign]


def quick_summary(linker: Any, manifest: Any) -> dict[int, dict[str, Any]]:
    """What `Linker.get_graph_summary` returns; dbt itself turns each node into a dictionary to learn its type from it."""
    written: dict[tuple[type, Any], Any] = {}
    indexes = {name: index for index, name in enumerate(linker.graph)}
    summary: dict[int, dict[str, Any]] = {}
    for name, index in indexes.items():
        node = manifest.expect(name)
        kind = (type(node), node.resource_type)
        if kind not in written:
            written[kind] = node.to_dict(omit_none=True)["resource_type"]
        summary[index] = {"name": name, "type": written[kind]}
        successors = [indexes[each] for each in linker.graph.successors(name)]
        if successors:
            summary[index]["succ"] = successors
    return summary
