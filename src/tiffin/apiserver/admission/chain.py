"""The chain of admission plugins: one explicit list, in Kubernetes' order.

A plugin names the resources and operations it has a say in, so that all others cost nothing. `admit` may change the request's
own object in place, before it is validated; `validate` sees what will be stored and may only refuse. Both are synchronous, or
coroutines for what has to ask outside (webhooks). A plugin that refuses raises; nothing is stored then.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from tiffin.api.kind import Subresource
from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.machinery.object import Object

if TYPE_CHECKING:
    from tiffin.apiserver.context import RequestContext
    from tiffin.apiserver.registry import Served

Step = Callable[[AdmissionAttributes, Object | None, Object | None], Awaitable[None] | None]

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
        self._mutating: dict[tuple[str, str], tuple[Step, ...]] = {}
        self._validating: dict[tuple[str, str], tuple[Step, ...]] = {}

    async def admit(
        self, context: RequestContext, operation: str, served: Served, obj: Object | None, old: Object | None, sub: Subresource | None = None
    ) -> None:
        """Lets plugins complete `obj`, or refuse. For a delete `obj` is None."""
        steps = self._chosen(self._mutating, "admit", served.storage, operation)
        if steps:
            attributes = attributes_of(context, operation, served, obj, old, sub)
            await _run_through(steps, attributes, obj, old)
            if attributes.rounds is not None and attributes.rounds.wanted:
                attributes.rounds.again = True
                await _run_through(steps, attributes, obj, old)

    async def validate(
        self, context: RequestContext, operation: str, served: Served, obj: Object | None, old: Object | None, sub: Subresource | None = None
    ) -> None:
        """Lets plugins refuse what is about to be stored."""
        steps = self._chosen(self._validating, "validate", served.storage, operation)
        if steps:
            await _run_through(steps, attributes_of(context, operation, served, obj, old, sub), obj, old)

    async def both(self, context: RequestContext, operation: str, served: Served, sub: Subresource, body: Object) -> None:
        """For what is asked of an object without being stored in it, such as exec, binding or eviction: `body` is what is asked."""
        await self.admit(context, operation, served, body, None, sub)
        await self.validate(context, operation, served, body, None, sub)

    def _chosen(self, known: dict[tuple[str, str], tuple[Step, ...]], method: str, resource: str, operation: str) -> tuple[Step, ...]:
        key = (resource, operation)
        steps = known.get(key)
        if steps is None:
            steps = known[key] = tuple(getattr(p, method) for p in self._plugins if _concerns(p, method, resource, operation))
        return steps


async def _run_through(steps: Iterable[Step], a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
    for step in steps:
        waiting = step(a, obj, old)
        if waiting is not None:
            await waiting


def _concerns(plugin: Plugin, method: str, resource: str, operation: str) -> bool:
    has_method = inspect.getattr_static(type(plugin), method) is not inspect.getattr_static(Plugin, method)
    return has_method and operation in plugin.operations and (plugin.resources is ANY or resource in plugin.resources)


def attributes_of(
    context: RequestContext, operation: str, served: Served, obj: Object | None, old: Object | None, sub: Subresource | None
) -> AdmissionAttributes:
    """The attributes of one write of a request. A collection is deleted one by one, so the object's own name counts."""
    metadata = (old or obj or {}).get("metadata") or {}
    kind, info = served.kind, context.info
    is_body = sub is not None and old is None  # what is asked of the object that the path names
    noted = context.audit.annotations if context.audit is not None else {}
    return AdmissionAttributes(
        operation,
        context.user,
        kind.kind,
        kind.resource,
        context.now,
        sub.name if sub else "",
        info.namespace if is_body else metadata.get("namespace", ""),
        info.name if is_body or operation == "CREATE" else metadata.get("name", ""),
        context.dry_run,
        partial(options_of, context, operation),
        context.warnings,
        annotations=noted,
        requested=served.resource,
        collection=operation == "DELETE" and not info.name,
        sub=sub,
    )


_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


def options_of(context: RequestContext, operation: str) -> Mapping[str, Any]:
    """The options of the request, as an object; a CONNECT has none."""
    kind = _OPTIONS.get(operation)
    if kind is None:
        return {}
    options: dict[str, Any] = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if context.dry_run:
        options["dryRun"] = ["All"]
    for field, value in (("fieldManager", context.field_manager), ("fieldValidation", context.query.text("fieldValidation"))):
        if value and operation != "DELETE":
            options[field] = value
    return options
