"""What is served: every kind under every group and version it is served in. Custom resources come and go at run time.

`Served` is one resource in one version; the stored version is the one whose `version` is None. Whoever caches what is derived
from the registry keeps `Registry.generation` with it.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import orjson

from tiffin.api.kind import Column, Kind, Version
from tiffin.apiserver.storedform import StoredForm
from tiffin.machinery.decode import Problem, decode_object
from tiffin.machinery.object import Object, Resource
from tiffin.machinery.schema import Type, definition
from tiffin.machinery.versions import version_rank

GROUP_ORDER = (
    "", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
    "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io", "admissionregistration.k8s.io",
    "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io", "extensions",
)
"""The order in which discovery names the built-in groups; all others follow by name. `extensions`, where it is served, comes last,
so that `deployments` without a group are those of `apps`."""

VERSION_PRIORITY = {("autoscaling", "v2"): 0, ("autoscaling", "v1"): 1, ("autoscaling", "v2beta1"): 2, ("autoscaling", "v2beta2"): 3}


class Served:
    """A resource as one group and version serve it.

    Custom resources have a Kind per version and a `form`, which says how objects of that version are stored; the objects that
    their Kind and the write path see are always those of the version.
    """

    def __init__(self, kind: Kind, version: Version | None, type: Type | None = None, form: StoredForm | None = None) -> None:
        self.kind, self.version, self.form = kind, version, form
        self._type = type
        self.resource = Resource(version.group, version.version, kind.plural) if version else kind.resource
        self.terminating = False
        """No new objects are taken: the definition of the resource is being deleted."""
        self.storage = kind.group_resource
        """The store's name of the resource, the same for all versions."""
        self.owns_as_stored = version is not None and version.owned_as_stored
        """Whose fields are whose is noted in the stored version."""

    @property
    def schema(self) -> str:
        """The name of the definition of its objects, where they are no custom resources."""
        return self.version.schema if self.version else self.kind.schema

    @cached_property
    def type(self) -> Type:
        if self.form is not None:
            return self.form.structure.type
        return self._type or definition(self.schema)

    @property
    def api_version(self) -> str:
        return self.resource.api_version

    @property
    def group_resource(self) -> str:
        return self.resource.group_resource

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self.version.columns if self.version else None) or self.kind.columns

    @property
    def row(self) -> Callable[[Object, datetime], list[Any]] | None:
        """The function for the cells of a table row, if the kind has one."""
        return (self.version.row if self.version else None) or self.kind.row

    @property
    def field_selectors(self) -> Mapping[str, Callable[[Object], str]]:
        """The fields selectors may use in this version; they read the stored object."""
        own = self.version.field_selectors if self.version else None
        return self.kind.field_selectors if own is None else own

    @cached_property
    def head(self) -> bytes:
        """How the encoding of every object of this version begins; list items of built-in kinds leave it out."""
        return orjson.dumps({"kind": self.kind.kind, "apiVersion": self.api_version})[:-1] + b","

    @cached_property
    def custom(self) -> bool:
        """Custom resources keep kind and apiVersion in list items."""
        return self._type is not None or self.form is not None

    def declared(self) -> Object | None:
        """The schema a custom resource's definition declares, None where there is none."""
        return self.form.structure.published() if self.form is not None else getattr(self.type, "source", None)

    def decode(self, obj: Object) -> list[Problem]:
        """Brings a parsed object of this version into form, in place; answers what was dropped. Raises DecodeError."""
        return self.form.structure.decode(obj) if self.form is not None else decode_object(obj, self.type)

    def from_stored(self, obj: Object) -> Object:
        """The object in this version; the stored object itself where the versions are the same."""
        return self.version.from_stored(obj) if self.version else obj

    def to_stored(self, obj: Object) -> Object:
        """What was written in this version, in the stored one; the version's own defaults are filled in, in place, before."""
        if self.version is None:
            return obj
        self.version.default(obj)
        return self.version.to_stored(obj)

    @cached_property
    def owner_type(self) -> Type:
        """The type by which owners of fields are noted."""
        return definition(self.kind.schema) if self.owns_as_stored else self.type

    @cached_property
    def owner_version(self) -> str:
        """The version under which they are noted."""
        return self.kind.api_version if self.owns_as_stored else self.api_version


class Registry:
    """All that is served, by group, version and plural name."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self.generation = 0
        self._served: dict[tuple[str, str, str], Served] = {}
        self._stored: dict[str, Served] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Serves a built-in kind in all its versions."""
        stored = Served(kind, None)
        self._stored[kind.group_resource] = self._served[stored.resource] = stored
        for version in kind.versions:
            served = Served(kind.in_version(version), version)
            self._served[served.resource] = served
        self.generation += 1

    def add_custom(self, stored: Served, served: Iterable[Served]) -> None:
        """Serves the versions of a custom resource; the stored one need not be among them."""
        self._stored[stored.storage] = stored
        self._served |= {each.resource: each for each in served}
        self.generation += 1

    def close(self, group_resource: str) -> None:
        """Takes no new objects of a custom resource."""
        for served in (*self._stored.values(), *self._served.values()):
            if served.storage == group_resource:
                served.terminating = True

    def remove(self, group_resource: str) -> None:
        """Stops serving a kind."""
        if self._stored.pop(group_resource, None):
            self._served = {key: s for key, s in self._served.items() if s.storage != group_resource}
            self.generation += 1

    def lookup(self, group: str, version: str, plural: str) -> Served | None:
        return self._served.get((group, version, plural))

    def stored(self, group_resource: str) -> Served | None:
        """The resource in its stored version, by storage name."""
        return self._stored.get(group_resource)

    def all_stored(self) -> list[Served]:
        return list(self._stored.values())

    def is_builtin_group(self, group: str) -> bool:
        """Whether a kind of the group is built in."""
        return any(key[0] == group and not served.custom for key, served in self._served.items())

    def __iter__(self) -> Iterator[Served]:
        return iter(list(self._served.values()))

    def of_version(self, group: str, version: str) -> list[Served]:
        return [s for key, s in self._served.items() if key[0] == group and key[1] == version]

    def groups(self) -> dict[str, list[str]]:
        """Versions of each group, the preferred first; built-in groups in their fixed order, then the others by name."""
        found: dict[str, set[str]] = {}
        for group, version, _ in self._served:
            found.setdefault(group, set()).add(version)
        known = [g for g in GROUP_ORDER if g in found]
        return {group: _preferred_first(group, found[group]) for group in known + sorted(found.keys() - set(known))}


def _preferred_first(group: str, versions: Iterable[str]) -> list[str]:
    return sorted(versions, key=lambda version: (VERSION_PRIORITY.get((group, version), 0), version_rank(version)))
