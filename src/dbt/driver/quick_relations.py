"""Makes the relations of all nodes faster, which dbt does more than once in each run: nothing else of it changes.

Each takes the quoting rules of four places together, by copies of copies; and to learn which schemas there are, dbt
compares as many relations as there are models, each turned into a dictionary.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

PLAIN = (str, int, float, bool, type(None))


def install() -> None:
    """From now on. What is not there in this version of dbt stays as it is."""
    try:
        from dbt.adapters.base import impl, relation
        from dbt_common.utils.dict import deep_merge
    except ImportError:
        return
    if getattr(relation, "deep_merge", None) is deep_merge:
        relation.deep_merge = quick_merge(deep_merge)  # type: ignore[attr-defined]
    get = getattr(impl.BaseAdapter, "_get_cache_schemas", None)
    if get is not None and get.__code__.co_varnames[:2] == ("self", "relation_configs"):
        impl.BaseAdapter._get_cache_schemas = get_cache_schemas(get)  # type: ignore[method-assign]


def quick_merge(merge: Any) -> Any:
    def deep_merge(*dicts: Any) -> Any:
        """For flat ones, later values take the place of earlier ones: that is all that merging deeply comes to."""
        for each in dicts:
            if type(each) is not dict or not all(type(value) in PLAIN for value in each.values()):
                return merge(*dicts)
        if not dicts:
            return merge()
        merged: dict[Any, Any] = {}
        for each in dicts:
            merged.update(each)
        return merged

    return deep_merge


def get_cache_schemas(get: Any) -> Any:
    def _get_cache_schemas(self: Any, relation_configs: Any) -> Any:
        """One relation for each schema, as dbt does it; but those that differ in their identifier alone are one early."""
        if not has_plain_relations(self.Relation):
            return get(self, relation_configs)
        seen = set()
        schemas = set()
        for config in relation_configs:
            relation = self.Relation.create_from(quoting=self.config, relation_config=config)
            key = all_but_identifier(relation)
            if key is None or key not in seen:
                schemas.add(relation.without_identifier())
                seen.add(key)
        return schemas

    return _get_cache_schemas


def has_plain_relations(kind: Any) -> bool:
    """Whether what makes a schema of a relation is dbt's own, which looks at no identifier."""
    from dbt.adapters.base.relation import BaseRelation

    names = ("without_identifier", "include", "replace_path", "replace", "__hash__", "__eq__")
    return all(getattr(kind, name, None) is getattr(BaseRelation, name) for name in names)


def all_but_identifier(relation: Any) -> tuple[Any, ...] | None:
    """None where it has something that can't be compared by value in a simple way."""
    key: list[Any] = [type(relation), type(relation.path)]
    for name, value in vars(relation).items():
        if name == "path":
            key += [(part, each) for part, each in vars(value).items() if part != "identifier"]
        elif name.endswith("_policy") and dataclasses.is_dataclass(value):
            key.append((name, type(value), *vars(value).items()))
        elif type(value) in PLAIN or isinstance(value, (enum.Enum, frozenset, tuple)):
            key.append((name, type(value), value))
        else:
            return None
    try:
        hash(key := tuple(key))  # type: ignore[assignment]
    except TypeError:
        return None
    return key  # type: ignore[return-value]
