"""The chain of admission plugins: one explicit list, in Kubernetes' order.

A plugin names the resources and operations it has a say in, so that all others cost nothing. `admit` may change the request's
own object in place, before it is validated; `validate` sees what will be stored and may only refuse. Both are synchronous, or
coroutines for what has to ask outside (webhooks). A plugin that refuses raises; nothing is stored then.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Collection, Sequence
from typing import TYPE_CHECKING, ClassVar

from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.machinery.object import Object, Resource

if TYPE_CHECKING:
    from tiffin.apiserver.context import RequestContext
    from tiffin.apiserver.registry import Served

ANY: frozenset[str] = frozenset()
"""A plugin with these resources sees every resource."""


class Plugin:
    """Base of all plugins: has a say in nothing."""

    resources: ClassVar[Collection[str]]
    """Group-resources ("pods", "ingresses.networking.k8s.io"), or ANY. Subresources come with their resource."""
    operations: ClassVar[Collection[str]] = ("CREATE", "UPDATE")

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> Awaitable[None] | None:
        """Completes `obj` in place, or raises ApiError. `obj` is None for deletes, `old` (read-only) for creates."""
        return None

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> Awaitable[None] | None:
        """Raises ApiError for what must not be stored (or deleted); changes nothing."""
        return None


class Admission:
    """Runs plugins in the order given."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._plugins = tuple(plugins)
        self._mutating: dict[tuple[str, str], tuple[Plugin, ...]] = {}
        self._validating: dict[tuple[str, str], tuple[Plugin, ...]] = {}

    async def admit(
        self, context: RequestContext, operation: str, served: Served, obj: Object | None, old: Object | None, subresource: str = ""
    ) -> None:
        """Lets plugins complete `obj`, or refuse. For a delete `obj` is None."""
        plugins = self._chosen(self._mutating, "admit", served.storage, operation)
        if plugins:
            attributes = attributes_of(context, operation, served, obj, old, subresource)
            for plugin in plugins:
                waiting = plugin.admit(attributes, obj, old)
                if waiting is not None:
                    await waiting

    async def validate(
        self, context: RequestContext, operation: str, served: Served, obj: Object | None, old: Object | None, subresource: str = ""
    ) -> None:
        """Lets plugins refuse what is about to be stored."""
        plugins = self._chosen(self._validating, "validate", served.storage, operation)
        if plugins:
            attributes = attributes_of(context, operation, served, obj, old, subresource)
            for plugin in plugins:
                waiting = plugin.validate(attributes, obj, old)
                if waiting is not None:
                    await waiting

    def _chosen(self, known: dict[tuple[str, str], tuple[Plugin, ...]], method: str, resource: str, operation: str) -> tuple[Plugin, ...]:
        key = (resource, operation)
        plugins = known.get(key)
        if plugins is None:
            plugins = known[key] = tuple(p for p in self._plugins if _concerns(p, method, resource, operation))
        return plugins


def _concerns(plugin: Plugin, method: str, resource: str, operation: str) -> bool:
    has_method = inspect.getattr_static(type(plugin), method) is not inspect.getattr_static(Plugin, method)
    return has_method and operation in plugin.operations and (plugin.resources is ANY or resource in plugin.resources)


def attributes_of(
    context: RequestContext, operation: str, served: Served, obj: Object | None, old: Object | None, subresource: str
) -> AdmissionAttributes:
    """The attributes of one write of a request. A collection is deleted one by one, so the object's own name counts."""
    metadata = (old or obj or {}).get("metadata") or {}
    kind = served.kind
    name = context.info.name if operation == "CREATE" else metadata.get("name", "")
    return AdmissionAttributes(
        operation,
        context.user,
        kind.kind,
        Resource(kind.group, kind.version, kind.plural),
        context.now,
        subresource,
        metadata.get("namespace", ""),
        name,
        context.dry_run,
        warnings=context.warnings,
    )
