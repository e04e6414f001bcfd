"""The Kind descriptor: all that the server knows of a kind, as data and functions, and the scan that finds the built-in ones.

A kind is one file `api/<group folder>/<kind>.py` with a module-level `KIND`. A CustomResourceDefinition builds the same
`Kind` at run time, so nothing in `apiserver/` asks whether a kind is built in.

Rules for the functions of a Kind:
* They are pure. Clock and identity come in through `Context`.
* `default`, `prepare_for_create`, `prepare_for_update` and `normalize` change the *new* object in place: it was just decoded
  and belongs to the request. The old object is shared and read-only.
* Validators return every violation (`machinery.field`), in Kubernetes' order; metadata is validated by the generic path.
"""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_subdomain
from tiffin.machinery.object import Object, Resource


@dataclass(frozen=True, slots=True)
class Context:
    """What a Kind's functions may know of the request: the time, who asks, through which subresource and in which version."""

    now: datetime
    user: str = ""
    subresource: str = ""
    api_version: str = ""
    """The version of the request's path, such as `events.k8s.io/v1`; empty means the stored version. Few rules depend on it."""
    user_info: Mapping[str, Any] = field(default_factory=dict)
    """Who asks, as authentication's `UserInfo`: username, uid, groups, extra."""
    warnings: list[str] = field(default_factory=list)
    """What validation would tell without refusing; only what it alone can know belongs here, the rest to `Kind.warnings`."""


def nothing(obj: Object) -> None:
    """Default for hooks that change nothing."""


def never(obj: Object) -> bool:
    """Default for `holds_deletion`."""
    return False


def nothing_on_create(obj: Object, context: Context) -> None:
    """Default for `prepare_for_create`."""


def nothing_on_update(new: Object, old: Object, context: Context) -> None:
    """Default for `prepare_for_update`."""


def valid(obj: Object, context: Context) -> list[FieldError]:
    """Default for `validate`: no violations."""
    return []


def valid_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    """Default for `validate_update`: no violations."""
    return []


def no_warnings(new: Object, old: Object | None) -> list[str]:
    """Default for `warnings`."""
    return []


def dns_subdomain_name(name: str, prefix: bool) -> list[str]:
    """Default for `validate_name`: RFC 1123 subdomain; `prefix` is true for a generateName."""
    return is_dns1123_subdomain(name[:-1] + "a" if prefix and name.endswith("-") else name)


@dataclass(frozen=True, slots=True)
class Column:
    """A table column. `priority` 0 is always shown, 1 only with `-o wide`. `type` is integer, number, string, boolean or date."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object.

    `status`-like subresources (`updates_object`) read and write the object itself through the Kind's own functions:
    `prepare(new, old, context)` decides what such an update may change (in place on `new`) and `validate` replaces
    `validate_update`. All others (`scale`, `binding`, `exec`, …) name the kind of their body here and are carried out by a
    handler in `apiserver/`.
    """

    name: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    updates_object: bool = False
    prepare: Callable[[Object, Object, Context], None] = nothing_on_update
    validate: Callable[[Object, Object, Context], list[FieldError]] = valid_update
    resets: tuple[tuple[str, ...], ...] | None = None
    """Paths such an update does not write, whose ownership an apply does not take. None: the spec through `status`, else the status."""
    body: tuple[str, str, str] | None = None
    """Group, version and kind of the body where it is not the object itself, such as ("autoscaling", "v1", "Scale")."""
    shown: Callable[[Object], Object] | None = None
    """The body that stands for an object in an update through this subresource, for those who admit it."""
    taken: Callable[[Object, Object], Object] | None = None
    """The object (the first) with what such a body (the second) says."""
    replicas: tuple[str, ...] = ("spec", "replicas")
    """Where the object has the replicas that a Scale shows."""
    body_version: Version | None = None
    """How the body converts where it is a retired version of a Scale."""


@dataclass(frozen=True, slots=True)
class Version:
    """One served version beside the stored one: the schema of its objects and how they convert. Conversions return new objects."""

    group: str
    version: str
    schema: str
    from_stored: Callable[[Object], Object]
    to_stored: Callable[[Object], Object]
    columns: tuple[Column, ...] | None = None
    field_selectors: Mapping[str, Callable[[Object], str]] | None = None
    """Replaces the Kind's own where the fields bear other names in this version; functions still read the stored object."""
    row: Callable[[Object, datetime], list[Any]] | None = None
    """Cells of a table row, given the object in this version; None where the Kind's own function reads it as well."""
    default: Callable[[Object], None] = nothing
    """Defaults of this version alone: completes, in place, what was written in it, before it is converted."""
    deprecation: str = ""
    """The warning every request for this version is answered with."""
    subresources: tuple[Subresource, ...] | None = None
    """Replaces the Kind's own."""
    owned_as_stored: bool = False
    """Owners of fields are noted by the names the stored version has for the fields, and under that version."""


@dataclass(frozen=True)
class Kind:
    """A kind of object, in its stored version; `versions` lists the others it is served in."""

    group: str
    version: str
    kind: str
    plural: str
    schema: str
    """Name of the definition in the schema data, such as `io.k8s.api.core.v1.Pod`."""
    singular: str = ""
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    versions: tuple[Version, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    resets: tuple[tuple[str, ...], ...] = ()
    """Paths that an update of the object does not write, beside the status where that has a subresource of its own."""
    stored: bool = True
    """False for requests that leave nothing behind, such as SubjectAccessReview; a handler in `apiserver/` answers them."""
    create_on_update: bool = False
    """A PUT of an object that does not exist creates it."""
    metadata_checks: str = "u"
    """What the kind's own validation of an update makes of the metadata, after the checks that all kinds share: `m` looks at all of it,
    `u` at what changed. What is wrong is reported as often as it is looked at."""
    unconditional_update: bool = True
    """A PUT without resourceVersion is accepted."""
    grace_period: Callable[[Object, int | None], int] | None = None
    """Seconds of graceful deletion, given the object and what the request asks for; None where deletion is immediate."""
    returns_deleted: bool = False
    """A DELETE answers with the object that is gone instead of a Status."""
    holds_deletion: Callable[[Object], bool] = never
    """Whether a deleted object stays although its finalizers are gone (namespaces have finalizers of their own)."""
    deletion_finalizers: tuple[str, ...] = ()
    """Finalizers that a deletion gives the object, for what has to be cleared away first."""
    mark_deleted: Callable[[Object], None] = nothing
    """What else changes in an object that waits for its deletion."""
    deprecation: str = ""
    """The warning every request for this kind is answered with, empty for kinds that are not deprecated."""
    default_propagation: str = "Background"
    """What a DELETE without options does to dependents: Background or Orphan."""
    delete_warning: str = ""
    """Said to whoever deletes without saying what shall become of dependents."""

    default: Callable[[Object], None] = nothing
    normalize: Callable[[Object], None] = nothing
    """Puts values in their canonical form where the schema alone cannot (quantities are done by the generic path)."""
    prepare_for_create: Callable[[Object, Context], None] = nothing_on_create
    prepare_for_update: Callable[[Object, Object, Context], None] = nothing_on_update
    validate: Callable[[Object, Context], list[FieldError]] = valid
    validate_update: Callable[[Object, Object, Context], list[FieldError]] = valid_update
    validate_name: Callable[[str, bool], list[str]] = dns_subdomain_name
    warnings: Callable[[Object, Object | None], list[str]] = no_warnings
    any_finalizers: bool = False
    """Whether new objects may have finalizers without a domain."""

    columns: tuple[Column, ...] = (Column("Name", format="name"), Column("Age"))
    row: Callable[[Object, datetime], list[Any]] | None = None
    """Cells of a table row, one per column; None gives name and age."""
    row_conditions: Callable[[Object], list[Object]] | None = None
    """Conditions of a table row, such as Completed for a finished pod."""
    field_selectors: Mapping[str, Callable[[Object], str]] = field(default_factory=dict)
    """Fields beyond metadata.name and metadata.namespace that a fieldSelector may use, with how to read them as text."""

    @cached_property
    def resource(self) -> Resource:
        return Resource(self.group, self.version, self.plural)

    @cached_property
    def group_resource(self) -> str:
        return self.resource.group_resource

    @cached_property
    def api_version(self) -> str:
        return self.resource.api_version

    @cached_property
    def subresource_by_name(self) -> Mapping[str, Subresource]:
        return {s.name: s for s in self.subresources}

    def in_version(self, version: Version) -> Kind:
        """The Kind as one of its versions shows it; objects that its functions see are still those of the stored version."""
        if not version.deprecation and version.subresources is None:
            return self
        own = self.subresources if version.subresources is None else version.subresources
        seen = replace(self, deprecation=version.deprecation, subresources=own)
        if version.group == self.group:
            return seen
        return replace(seen, short_names=(), categories=())  # or every short name would mean two resources


_LEGACY = "tiffin.api.legacy."


def builtin_kinds() -> Iterator[Kind]:
    """Every `KIND` of the modules below `tiffin.api`, in the order of their module names; not those of `legacy`, which are asked for."""
    import tiffin.api

    for module in sorted(pkgutil.walk_packages(tiffin.api.__path__, "tiffin.api."), key=lambda m: m.name):
        if not module.ispkg and not module.name.startswith(_LEGACY):
            kind = getattr(importlib.import_module(module.name), "KIND", None)
            if isinstance(kind, Kind):
                yield kind
