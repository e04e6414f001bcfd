"""The declared kinds are exactly those of Kubernetes v1.36's discovery (`discovery.txt`: facts, one resource a line).

A line is group|version|kind|plural|singular|scope|short names|categories|verbs|subresources; `*` stands for all eight verbs,
a subresource is `name=[group/][version/]kind:verbs` with `+` for get, patch and update.
"""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.api.kind import Kind, Subresource, builtin_kinds

FACTS = Path(__file__).with_name("discovery.txt").read_text().splitlines()
ALL_VERBS = "create,delete,deletecollection,get,list,patch,update,watch"


def described(kind: Kind, group: str, version: str) -> str:
    verbs = ",".join(kind.verbs).replace(ALL_VERBS, "*")
    scope = "Namespaced" if kind.namespaced else "Cluster"
    subresources = " ".join(described_subresource(s, kind) for s in sorted(kind.subresources, key=lambda s: s.name))
    return "|".join([
        group, version, kind.kind, kind.plural, kind.singular, scope, ",".join(kind.short_names), ",".join(kind.categories), verbs, subresources,
    ])


def described_subresource(subresource: Subresource, kind: Kind) -> str:
    body = (kind.group, kind.version, kind.kind) if subresource.body is None else subresource.body
    shown = body[2] if body[0] == kind.group else "/".join(body)
    verbs = ",".join(subresource.verbs)
    return f"{subresource.name}={shown}:{'+' if verbs == 'get,patch,update' else verbs}"


def declared() -> Iterator[str]:
    for kind in builtin_kinds():
        yield described(kind, kind.group, kind.version)
        for version in kind.versions:
            yield described(kind, version.group, version.version)


def test_every_resource_of_the_reference_is_declared_and_no_other() -> None:
    assert sorted(declared()) == sorted(FACTS)


@pytest.mark.parametrize("kind", list(builtin_kinds()), ids=lambda k: k.group_resource)
def test_names_are_consistent(kind: Kind) -> None:
    assert kind.singular == kind.kind.lower()
    assert kind.schema.endswith(f".{kind.version}.{kind.kind}")
    assert len(kind.columns) > 0
