"""Services of type LoadBalancer on this machine: `localhost` is their address, the nodes answer.

Rules
* A Service's ports are opened all together or not at all. One that is taken leaves it pending, with an event that says which and by
  whom; it is tried again on every change, and every `RETRY` seconds.
* The finalizer is set before a port is opened and taken after the last is closed, so that no port outlives its Service. It and the
  status are written through the status subresource: no other right is needed.
* What to do is decided in `balancing.py`; how bytes travel is in `forwarding.py`.
"""
from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiffin.client.cache import Caches
from tiffin.client.client import Client
from tiffin.cluster.balancing import CLASS, Plan, Route, Slot, is_local, is_ours, plan
from tiffin.cluster.forwarding import Chooser, TcpForwarder, UdpForwarder, Unavailable, open_sockets
from tiffin.cluster.portholder import holder
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key, Object, Resource, dig, key_of, meta
from tiffin.runtime.clock import Clock, Timer
from tiffin.runtime.controller import PolicyRule
from tiffin.runtime.events import EventRecorder

NAME = "load-balancer-controller"
RULES = (
    PolicyRule(("",), ("nodes", "services"), ("get", "list", "watch")),
    PolicyRule(("",), ("services/status",), ("patch", "update")),
    PolicyRule(("discovery.k8s.io",), ("endpointslices",), ("get", "list", "watch")),
    PolicyRule(("", "events.k8s.io"), ("events",), ("create", "patch", "update")),
)
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
INGRESS = [{"hostname": "localhost"}]
RETRY = 10.0

SERVICES, NODES = Resource("", "v1", "services"), Resource("", "v1", "nodes")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")

log = logging.getLogger(__name__)

Forwarder = TcpForwarder | UdpForwarder


@dataclass(slots=True)
class Opened:
    """The open ports of one Service."""

    slots: Sequence[Slot]
    chooser: Chooser
    forwarders: Sequence[Forwarder]

    def close(self) -> None:
        for forwarder in self.forwarders:
            forwarder.close()


class LoadBalancer:
    """Keeps ports and statuses right until cancelled."""

    def __init__(self, client: Client, clock: Clock, addresses: Sequence[str]) -> None:
        self._client, self._clock, self._addresses = client, clock, addresses
        self._caches = Caches(client, clock.now, clock.sleep)
        self._recorder = EventRecorder(client, clock, "service-controller")
        self._opened: dict[Key, Opened] = {}
        self._told: dict[Key, str] = {}
        self._changed = asyncio.Event()
        self._retry: Timer | None = None

    async def run(self) -> None:
        for resource in (SERVICES, NODES):
            self._caches.add(resource)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._caches.run(), name="load balancer caches")
            tasks.create_task(self._recorder.run(), name="load balancer events")
            await self._caches.synced()
            self._caches[SERVICES].subscribe(self._service_changed)
            self._caches[NODES].subscribe(lambda old, new: self._changed.set())
            try:
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await self._sync()
            finally:
                for opened in self._opened.values():
                    opened.close()

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        if any(obj is not None and (dig(obj, "spec", "type") == "LoadBalancer" or _was_ours(obj)) for obj in (old, new)):
            self._changed.set()

    async def _sync(self) -> None:
        services = {key_of(s): s for s in self._caches.list(SERVICES) if is_ours(s) or _was_ours(s)}
        wanted = plan(services.values(), self._caches.list(NODES), await self._slices(services.values()))
        self._close_unwanted(wanted)
        failed = False
        for key in [*self._told.keys() - services.keys()]:
            del self._told[key]
        for key, service in services.items():
            try:
                failed |= not await self._sync_one(key, service, wanted)
            except (ApiError, OSError) as error:
                if not isinstance(error, ApiError) or error.code not in (404, 409):  # gone or changed meanwhile: its event is on the way
                    log.warning("%s: %s", "/".join(key), error)
                    failed = True
        if self._retry:
            self._retry.cancel()
        self._retry = self._clock.call_later(RETRY, self._changed.set) if failed else None

    async def _slices(self, services: Iterable[Object]) -> Sequence[Object]:
        """All slices as soon as there is one Service that asks where its pods are."""
        if SLICES not in self._caches:
            if not any(map(is_local, services)):
                return ()
            self._caches.add(SLICES)
            await self._caches.synced([SLICES])
            self._caches[SLICES].subscribe(lambda old, new: self._changed.set())
        return self._caches.list(SLICES)

    def _close_unwanted(self, wanted: Plan) -> None:
        for key, opened in list(self._opened.items()):
            if wanted.slots.get(key) != opened.slots:
                opened.close()
                del self._opened[key]

    async def _sync_one(self, key: Key, service: Object, wanted: Plan) -> bool:
        """Whether nothing is left to be tried again."""
        if key not in wanted.routes:
            if key in wanted.waiting:
                self._tell(key, service, *wanted.waiting[key])
            if FINALIZER in _finalizers(service):  # what others wrote of a Service we never served is theirs
                await self._write(service, [], held=False)
            return True
        route = wanted.routes[key]
        if key in self._opened:
            self._opened[key].chooser.route = route
        else:
            service = await self._write(service, None, held=True)
            try:
                self._opened[key] = await self._open(wanted.slots[key], route)
            except Unavailable as refusal:
                self._tell(key, service, "SyncLoadBalancerFailed", f"Error syncing load balancer: {self._cause(refusal)}")
                await self._write(service, [], held=False)
                return False
            self._told.pop(key, None)
            self._recorder.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
        await self._write(service, INGRESS, held=True)
        return True

    async def _open(self, slots: Sequence[Slot], route: Route) -> Opened:
        sockets = []
        try:
            for slot in slots:
                sockets.append(open_sockets(slot, self._addresses))
        except Unavailable:
            for each in (one for several in sockets for one in several):
                each.close()
            raise
        chooser, forwarders = Chooser(route), list[Forwarder]()
        for slot, bound in zip(slots, sockets):
            forwarder = (TcpForwarder if slot.protocol == "TCP" else UdpForwarder)(slot, chooser)
            await forwarder.start(bound)
            forwarders.append(forwarder)
        return Opened(slots, chooser, forwarders)

    def _cause(self, refusal: Unavailable) -> str:
        where = f"port {refusal.slot} of {refusal.address}"
        if refusal.error.errno == errno.EADDRINUSE:
            return f"{where} is taken by {holder(*refusal.slot)}"
        if refusal.error.errno == errno.EACCES:
            return f"{where} may be opened by root only"
        return f"{where} cannot be opened: {refusal.error.strerror}"

    def _tell(self, key: Key, service: Object, reason: str, message: str) -> None:
        """Once, until something else is to be said."""
        if self._told.get(key) != message:
            self._told[key] = message
            self._recorder.event(service, "Warning", reason, message)

    async def _write(self, service: Object, ingress: list[Object] | None, *, held: bool) -> Object:
        """Make finalizer and status so, and answer the Service as it is then; `ingress` None leaves the status."""
        finalizers = _finalizers(service)
        patch: Object = {"metadata": {"uid": meta(service)["uid"]}}
        if held != (FINALIZER in finalizers):
            patch["metadata"]["finalizers"] = [*finalizers, FINALIZER] if held else [name for name in finalizers if name != FINALIZER]
            patch["metadata"]["resourceVersion"] = meta(service)["resourceVersion"]
        if ingress is not None and (dig(service, "status", "loadBalancer", "ingress") or []) != ingress:
            patch["status"] = {"loadBalancer": {"ingress": ingress or None}}
        if len(patch) == 1 and len(patch["metadata"]) == 1:
            return service
        return await self._client.patch(SERVICES, *key_of(service), patch, subresource="status")


def _finalizers(service: Object) -> list[str]:
    return list(meta(service).get("finalizers") or ())


def _was_ours(service: Object) -> bool:
    """Whether something is left to be cleared; the finalizer alone may be of whoever serves another class."""
    return FINALIZER in _finalizers(service) and dig(service, "spec", "loadBalancerClass", default=CLASS) == CLASS
