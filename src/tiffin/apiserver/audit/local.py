"""The in-process client of a server that notes its requests: each call is one request, as over the network."""
from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from typing import Any

from tiffin.apiserver.audit.auditor import Auditor
from tiffin.apiserver.audit.event import RESPONSE, Record
from tiffin.apiserver.authz.attributes import Attributes
from tiffin.apiserver.local import LocalClient
from tiffin.client.client import ObjectList, PatchType, WatchEvent
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource


class AuditedClient(LocalClient):
    """A LocalClient whose requests are noted."""

    def __init__(self, inner: LocalClient, auditor: Auditor, agent: str) -> None:
        super().__init__(inner.resources, inner.authorize, inner.user, agent)
        self._auditor, self._agent = auditor, agent

    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Object:
        return await self._noted(  # type: ignore[no-any-return]
            super().get(resource, namespace, name, subresource=subresource), "get", resource, namespace, name, subresource)

    async def list(self, resource: Resource, namespace: str = "", **options: Any) -> ObjectList:
        return await self._noted(super().list(resource, namespace, **options), "list", resource, namespace)  # type: ignore[no-any-return]

    async def create(self, resource: Resource, namespace: str, obj: Object, *, name: str = "", subresource: str = "") -> Object:
        call = super().create(resource, namespace, obj, name=name, subresource=subresource)
        return await self._noted(call, "create", resource, namespace, name, subresource, obj)  # type: ignore[no-any-return]

    async def update(self, resource: Resource, namespace: str, obj: Object, *, subresource: str = "") -> Object:
        call = super().update(resource, namespace, obj, subresource=subresource)
        return await self._noted(call, "update", resource, namespace, obj["metadata"]["name"], subresource, obj)  # type: ignore[no-any-return]

    async def patch(
        self, resource: Resource, namespace: str, name: str, patch: Any, *, type: PatchType = PatchType.MERGE, subresource: str = "",
        field_manager: str = "", force: bool = False,
    ) -> Object:
        call = super().patch(
            resource, namespace, name, patch, type=type, subresource=subresource, field_manager=field_manager, force=force)
        return await self._noted(call, "patch", resource, namespace, name, subresource, patch)  # type: ignore[no-any-return]

    async def delete(self, resource: Resource, namespace: str, name: str, **options: Any) -> Object:
        return await self._noted(super().delete(resource, namespace, name, **options), "delete", resource, namespace, name)  # type: ignore[no-any-return]

    async def watch(self, resource: Resource, namespace: str = "", **options: Any) -> AsyncIterator[WatchEvent]:
        record = self._begin("watch", resource, namespace)
        if record is not None:
            self._auditor.note(record, "ResponseStarted", {"metadata": {}, "code": 200})
        try:
            async for event in super().watch(resource, namespace, **options):
                yield event
        finally:
            self._end(record, 200, None)

    def _begin(self, verb: str, resource: Resource, namespace: str, name: str = "", subresource: str = "", body: Any = None) -> Record | None:
        action = Attributes(self.user, verb, *resource, subresource, namespace, name, _path(resource, namespace, name, subresource))
        record = self._auditor.record(action, str(uuid.uuid4()), datetime.now(UTC))
        if record is not None:
            record.agent, record.source = self._agent, "127.0.0.1"
            record.take(body)
            self._auditor.note(record, "RequestReceived")
        return record

    def _end(self, record: Record | None, code: int, response: Any) -> None:
        if record is not None:
            record.decided(self.authorize(record.action), self.user)
            self._auditor.note(record, "ResponseComplete", {"metadata": {}, "code": code}, response if record.choice.level >= RESPONSE else None)

    async def _noted(
        self, call: Awaitable[Any], verb: str, resource: Resource, namespace: str, name: str = "", subresource: str = "", body: Any = None,
    ) -> Any:
        record = self._begin(verb, resource, namespace, name, subresource, body)
        code, answer = 500, None
        try:
            answer = await call
            code = 201 if verb == "create" else 200
            return answer
        except ApiError as error:
            code = error.code
            raise
        finally:
            self._end(record, code, answer if isinstance(answer, dict) else None)


def _path(resource: Resource, namespace: str, name: str, subresource: str) -> str:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    parts = (root, f"namespaces/{namespace}" if namespace else "", resource.plural, name, subresource)
    return "/".join(part for part in parts if part)
