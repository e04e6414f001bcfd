"""The APIServices of one server: which group versions are answered elsewhere, and whether they can be.

Rules
* A request costs one look at an empty dict as long as nothing is aggregated.
* An APIService with a Service takes its group version over, even from a custom resource of the same name.
* Each aggregated server is checked when its Service or endpoints change, and twice a minute. Nothing runs where there is none.
* Custom resources get their APIService with their definition and lose it with it; those of built-in kinds are written at start, and
  removed when their group version is not served any more.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from tiffin.apiserver.aggregation.availability import check, learn_openapi
from tiffin.apiserver.aggregation.priorities import AUTO_MANAGED, Priority, api_service, local_condition, order, priority
from tiffin.apiserver.aggregation.remote import Remote, Trust
from tiffin.apiserver.bootstrap import new_write, served_for
from tiffin.apiserver.context import RequestInfo
from tiffin.apiserver.crd import CRDS
from tiffin.apiserver.local import LocalClient
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.registry import Registry
from tiffin.apiserver.servicedial import SERVICE_NAME, SERVICES, SLICES, ServiceDialer
from tiffin.client.client import PatchType
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, labels_of, name_of
from tiffin.machinery.timestamps import format_time
from tiffin.store.mvcc import Event, EventType
from tiffin.store.store import Mismatch, Store

logger = logging.getLogger(__name__)
API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices")
CHECK_SECONDS = 30.0
FIRST_RETRY, LAST_RETRY = 0.25, 30.0


class Aggregator:
    """Follows the APIServices. `remotes` are those with a Service, by group and version."""

    def __init__(self, store: Store, reader: Reader, registry: Registry, client: LocalClient, trust: Trust) -> None:
        self.remotes: dict[tuple[str, str], Remote] = {}
        self.generation = 0
        """Changes whenever what discovery tells may have changed."""
        self._store, self._reader, self._registry, self._client, self._trust = store, reader, registry, client, trust
        self._dialer = ServiceDialer(reader)
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._unfollow: list[Callable[[], None]] = []

    # ---- questions of the rest of the server

    def find(self, info: RequestInfo) -> Remote | None:
        """Who answers a path, if not this server."""
        if info.is_resource:
            return self.remotes.get((info.resource.group, info.resource.version))
        parts = info.path.strip("/").removeprefix("openapi/v3/").split("/")
        if parts[0] == "apis" and len(parts) == 3:
            return self.remotes.get((parts[1], parts[2]))
        return self.remotes.get(("", parts[1])) if parts[0] == "api" and len(parts) == 2 else None

    def groups(self) -> dict[str, list[str]]:
        """Versions of each group, the preferred first, in the order of discovery."""
        own = self._registry.groups()
        if not self.remotes:
            return own
        versions: dict[tuple[str, str], Priority] = {(g, v): priority(g, v) for g, vs in own.items() for v in vs}
        return order(versions | {key: remote.priority for key, remote in self.remotes.items()})

    # ---- following what is stored

    def load(self) -> None:
        """Takes over what is stored and follows what comes after."""
        for entry in self._store.entries(API_SERVICES.group_resource):
            self._take(entry.object)
        self._store.watch(API_SERVICES.group_resource, self._store.revision, self._seen)
        self._store.watch(CRDS, self._store.revision, lambda events: self._changed.set())
        self._changed.set()

    def _seen(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.type is EventType.DELETED:
                self._drop(event.entry.object)
            else:
                self._take(event.entry.object)
        self._changed.set()

    def _take(self, obj: Object) -> None:
        spec = obj["spec"]
        key = (spec.get("group") or "", spec["version"])
        known = self.remotes.get(key)
        if not spec.get("service"):
            self._drop(obj)
        elif known is None or known.spec != spec:
            self._drop(obj)
            remote = self.remotes[key] = Remote(obj, self._dialer, self._trust)
            self._tasks[key] = asyncio.get_running_loop().create_task(self._keep_checking(remote), name=f"aggregated {remote.name}")
            self.generation += 1
            self._follow()

    def _drop(self, obj: Object) -> None:
        spec = obj["spec"]
        key = (spec.get("group") or "", spec["version"])
        if self.remotes.pop(key, None) is not None:
            self._tasks.pop(key).cancel()
            self.generation += 1
        if not self.remotes:
            for stop in self._unfollow:
                stop()
            self._unfollow.clear()

    def _follow(self) -> None:
        """Listens to Services and endpoints, as long as somebody is behind one."""
        if not self._unfollow:
            for resource, notice in ((SERVICES, self._service_seen), (SLICES, self._slice_seen)):
                self._unfollow.append(self._store.watch(resource.group_resource, self._store.revision, notice))

    def _service_seen(self, events: Sequence[Event]) -> None:
        self._notice({(e.entry.key.namespace, e.entry.key.name) for e in events})

    def _slice_seen(self, events: Sequence[Event]) -> None:
        self._notice({(e.entry.key.namespace, labels_of(e.entry.object).get(SERVICE_NAME, "")) for e in events})

    def _notice(self, services: set[tuple[str, str]]) -> None:
        for remote in self.remotes.values():
            if any(remote.concerns(*service) for service in services):
                remote.changed.set()

    # ---- aggregated servers

    async def _keep_checking(self, remote: Remote) -> None:
        retry = FIRST_RETRY
        while True:
            remote.changed.clear()
            try:
                available = await self._look(remote)
            except ApiError as error:
                logger.info("api service %s: %s", remote.name, error)
                available = False
            retry = FIRST_RETRY if available else min(2 * retry, LAST_RETRY)
            try:
                async with asyncio.timeout(CHECK_SECONDS if available else retry):
                    await remote.changed.wait()
                    retry = FIRST_RETRY
            except TimeoutError:
                continue

    async def _look(self, remote: Remote) -> bool:
        before = (remote.available, remote.resources, remote.openapi_v3)
        condition = await check(self._reader, remote)
        remote.available = condition["status"] == "True"
        if remote.available and (remote.resources != before[1] or not before[0]):
            await learn_openapi(remote)
        if before != (remote.available, remote.resources, remote.openapi_v3):
            self.generation += 1
        await self._tell(remote.name, condition)
        return remote.available

    async def _tell(self, name: str, condition: Object) -> None:
        """Writes the condition Available, if it says something new."""
        stored = self._reader.get(API_SERVICES, "", name)
        if stored is None:
            return
        conditions: list[Any] = (stored.get("status") or {}).get("conditions") or []
        old: Object = next((c for c in conditions if c.get("type") == "Available"), {})
        if all(old.get(field) == value for field, value in condition.items()):
            return
        since = old.get("lastTransitionTime") if old.get("status") == condition["status"] else None
        new = {**condition, "lastTransitionTime": since or format_time(datetime.now(UTC))}
        others = [c for c in conditions if c.get("type") != "Available"]
        await self._client.patch(
            API_SERVICES, "", name, {"status": {"conditions": [*others, new]}}, type=PatchType.MERGE, subresource="status")

    # ---- group versions served here

    async def run(self) -> None:
        """Keeps the APIServices of custom resources, and says of all local ones that they are available; for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._register()
            except (ApiError, Mismatch) as error:
                logger.info("api services: %s", error)
                asyncio.get_running_loop().call_later(1, self._changed.set)

    async def _register(self) -> None:
        wanted = {_name(s.resource): s.resource for s in self._registry if s.custom}
        served = {_name(s.resource) for s in self._registry}
        for stored in list(self._reader.list(API_SERVICES)):
            name = name_of(stored)
            managed = labels_of(stored).get(AUTO_MANAGED)
            if (managed == "true" and name not in wanted) or (managed == "onstart" and name not in served):
                await self._client.delete(API_SERVICES, "", name)
            elif not stored["spec"].get("service"):
                await self._tell(name, local_condition())
        for name, resource in wanted.items():
            if self._reader.get(API_SERVICES, "", name) is None:
                obj = api_service(resource.group, resource.version, "true")
                await self._store.commit(new_write(served_for(self._registry, API_SERVICES), obj, datetime.now(UTC)))

    async def stop(self) -> None:
        """Ends the checks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _name(resource: Resource) -> str:
    return f"{resource.version}.{resource.group}"
