"""Adds the retired versions to the kinds that show them, and the kinds that are gone altogether."""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from types import ModuleType
from typing import Any

import tiffin.api.legacy as folder
from tiffin.api.kind import Kind, Version
from tiffin.api.legacy.retired import Retired
from tiffin.machinery.object import Object


def with_legacy(kinds: Iterable[Kind]) -> Iterator[Kind]:
    """The kinds with their retired versions, then the retired kinds. Declares the definitions of all of them."""
    modules = list(_modules())
    old: dict[str, list[Retired]] = {}
    for retired in (entry for module in modules for entry in getattr(module, "VERSIONS", ())):
        old.setdefault(retired.current, []).append(retired)
    for package in (package for module in modules for package in getattr(module, "PACKAGES", ())):
        package.declare()
    gone = [kind for module in modules if isinstance(kind := getattr(module, "KIND", None), Kind)]
    for kind in (*kinds, *gone):
        versions = [version_of(kind, retired) for retired in old.get(kind.group_resource, ())]
        yield replace(kind, versions=(*kind.versions, *versions)) if versions else kind


def _modules() -> Iterator[ModuleType]:
    for module in sorted(pkgutil.iter_modules(folder.__path__), key=lambda m: m.name):
        yield importlib.import_module(f"{folder.__name__}.{module.name}")


def version_of(kind: Kind, retired: Retired) -> Version:
    """The Version that serves a retired one. Tables are those of the stored version."""
    group, version = retired.package.group, retired.package.version
    api_version = f"{group}/{version}"

    def from_stored(obj: Object) -> Object:
        return {**retired.from_stored(obj), "apiVersion": api_version}

    def to_stored(obj: Object) -> Object:
        return {**retired.to_stored(obj), "apiVersion": kind.api_version}

    def row(obj: Object, now: datetime) -> list[Any]:
        assert kind.row is not None
        return kind.row(to_stored(obj), now)

    own = {sub.name: sub for sub in (*kind.subresources, *retired.subresources)}
    return Version(
        group, version, retired.package.schema(kind.kind), from_stored, to_stored, columns=kind.columns, row=row if kind.row else None,
        default=retired.default, deprecation=warning(kind, retired), subresources=tuple(own.values()), owned_as_stored=True,
        field_selectors=retired.field_selectors)


def warning(kind: Kind, retired: Retired) -> str:
    """What a client is told, in Kubernetes' words."""
    instead = retired.replacement or f"{kind.api_version} {kind.kind}"
    told = f"{retired.package.group}/{retired.package.version} {kind.kind} is deprecated in v{retired.deprecated}+, unavailable in v{retired.removed}+"
    return told if instead == "-" else f"{told}; use {instead}"
