"""The client port: what controllers, scheduler, node agent and tools ask of an API server.

Two transports implement it: `client/http.py` over the network and `apiserver/local.py` inside the server's process, where
objects are the stored ones, shared and read-only. Every method raises `machinery.errors.ApiError`, and `ConnectionError`
(an OSError) when the server cannot be reached.
"""
from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from tiffin.machinery.object import Object, Resource


class PatchType(StrEnum):
    """The media types of PATCH bodies."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class ObjectList(NamedTuple):
    """One page: the objects, the revision they were read at, and the token of the next page ("" at the end)."""

    items: list[Object]
    resource_version: str
    continue_token: str = ""


class WatchEvent(NamedTuple):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; errors of a watch are raised as ApiError (410 when too old)."""

    type: str
    object: Object


class Client(Protocol):
    """An authenticated connection to one API server."""

    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Object: ...

    async def list(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 0, continue_token: str = "", resource_version: str = "") -> ObjectList: ...

    async def create(self, resource: Resource, namespace: str, obj: Object, *, name: str = "", subresource: str = "") -> Object:
        """POST. `name` and `subresource` together address a subresource such as a pod's `binding`."""
        ...

    async def update(self, resource: Resource, namespace: str, obj: Object, *, subresource: str = "") -> Object: ...

    async def patch(self, resource: Resource, namespace: str, name: str, patch: Any, *, type: PatchType = PatchType.MERGE, subresource: str = "", field_manager: str = "", force: bool = False) -> Object: ...

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str = "", resource_version: str = "", propagation: str = "", grace_period: int | None = None) -> Object: ...

    def watch(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str = "", bookmarks: bool = True) -> AsyncIterator[WatchEvent]:
        """Events after `resource_version`; ends when the server closes the watch. Close it with `aclose()`."""
        ...
