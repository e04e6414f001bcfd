"""What authentication, authorization and admission need of the rest of the server: a synchronous look at stored objects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from tiffin.machinery.object import Object, Resource


class Reader(Protocol):
    """Stored objects as they are now, in memory and uncopied: whoever gets one must not change it.

    Resources are named in their storage version.
    """

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str | None = None) -> Iterable[Object]:
        """Objects of the resource in the order of their keys, all of them or those of one namespace."""
        ...

    def revision(self, resource: Resource) -> int:
        """A number that changes whenever anything of the resource changes; what is derived may be kept as long as it stays."""
        ...

    def follow(self, resource: Resource, changed: Callable[[], None]) -> None:
        """Calls `changed` whenever anything of the resource has changed, for as long as there is a server."""
        ...

    async def appears(self, resource: Resource, namespace: str, name: str, seconds: float) -> Object | None:
        """The object as soon as it exists; None if it does not come to exist within that time."""
        ...


class MemoryReader:
    """The in-memory twin of Reader, for tests and for tools that look at a set of objects without a server."""

    def __init__(self) -> None:
        self._objects: dict[Resource, dict[tuple[str, str], Object]] = {}
        self._revision = 0
        self._revisions: dict[Resource, int] = {}
        self._awaited: dict[tuple[Resource, str, str], list[asyncio.Future[Object]]] = {}
        self._followers: dict[Resource, list[Callable[[], None]]] = {}

    def put(self, resource: Resource, obj: Object) -> Object:
        metadata = obj["metadata"]
        self._objects.setdefault(resource, {})[metadata.get("namespace", ""), metadata["name"]] = obj
        self._touch(resource)
        for future in self._awaited.pop((resource, metadata.get("namespace", ""), metadata["name"]), ()):
            if not future.done():
                future.set_result(obj)
        return obj

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        del self._objects[resource][namespace, name]
        self._touch(resource)

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def list(self, resource: Resource, namespace: str | None = None) -> Iterable[Object]:
        objects = self._objects.get(resource, {})
        return [objects[key] for key in sorted(objects) if namespace is None or key[0] == namespace]

    def revision(self, resource: Resource) -> int:
        return self._revisions.get(resource, 0)

    def follow(self, resource: Resource, changed: Callable[[], None]) -> None:
        self._followers.setdefault(resource, []).append(changed)

    async def appears(self, resource: Resource, namespace: str, name: str, seconds: float) -> Object | None:
        if found := self.get(resource, namespace, name):
            return found
        future: asyncio.Future[Object] = asyncio.get_running_loop().create_future()
        self._awaited.setdefault((resource, namespace, name), []).append(future)
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return None

    def _touch(self, resource: Resource) -> None:
        self._revision += 1
        self._revisions[resource] = self._revision
        for changed in self._followers.get(resource, ()):
            changed()
