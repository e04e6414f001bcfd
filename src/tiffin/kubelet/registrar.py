"""The node's own objects in the API: the Node with its status, and the Lease that says the agent lives.

The status is written when it changes and every five minutes; the Lease every ten seconds. Both survive an API server that is away.
A Node that somebody deletes while the agent lives is registered anew, with the range of addresses its pods have.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from tiffin.client.client import Client
from tiffin.kubelet import machine as measuring
from tiffin.kubelet.config import AgentConfig
from tiffin.kubelet.node_status import Health, Machine, node_status, registration, without_heartbeats
from tiffin.kubelet.runtime import Runtime, RuntimeFault
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, dig, meta
from tiffin.machinery.timestamps import format_micro
from tiffin.runtime.clock import Clock

log = logging.getLogger(__name__)

NODES = Resource("", "v1", "nodes")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
LEASE_NAMESPACE = "kube-node-lease"
REPORT_INTERVAL = timedelta(minutes=5)
"""How often an unchanged status is written."""
UNREADY_INTERVAL, NETWORK_INTERVAL = 1.0, 0.05
"""Seconds between looks while the node is not ready, and while only its network is awaited."""
IMAGES_INTERVAL = timedelta(minutes=1)
PRESSURE_STAYS = timedelta(minutes=5)
"""How long a pressure is reported after it was last seen."""
RETRY = 1.0
_REFUSALS = 403, 422
LEASE_SHARE = 0.25


class Registrar:
    """Registers the node and keeps its status and Lease."""

    def __init__(self, config: AgentConfig, client: Client, clock: Clock, runtime: Runtime, machine: Machine) -> None:
        self._config, self._client, self._clock, self._runtime, self._machine = config, client, clock, runtime, machine
        self.node: Object = registration(config, machine)
        self.health = Health(complaints=("container runtime is down",))
        self._written: Object | None = None
        self._written_at: datetime | None = None
        self._images_at: datetime | None = None
        self._pressed: dict[str, datetime] = {}
        self._cidr = ""
        self._is_gone = False
        self._wake = asyncio.Event()
        self.on_pressure: Callable[[str], Awaitable[None]] = _nobody
        """Told of each pressure ("memory", "disk", "pid") whenever it is measured."""

    async def register(self) -> None:
        """Create the Node, or take up the one that is there; returns when that is done."""
        while True:
            try:
                self._set_node(await self._create())
                return
            except (ApiError, OSError) as error:
                log.warning("node %s not registered yet: %s", self._config.node_name, error)
                if isinstance(error, ApiError) and error.code in _REFUSALS:
                    self._cidr = ""  # perhaps another node has the range by now: then another one is assigned
                await self._clock.sleep(RETRY)

    async def _register_again(self) -> None:
        log.info("node %s was deleted and is registered anew", self._config.node_name)
        self._is_gone, self._written = False, None
        await self.register()

    async def _create(self) -> Object:
        wanted = registration(self._config, self._machine)
        if self._cidr:
            wanted["spec"] |= {"podCIDR": self._cidr, "podCIDRs": [self._cidr]}
        try:
            # Not ready yet: nothing may be scheduled here before the status says so, and the first status comes at once.
            return await self._client.create(NODES, "", wanted | {"status": self._status({})})
        except ApiError as error:
            if error.code != 409:
                raise
        there = await self._client.get(NODES, "", self._config.node_name)
        labels = {k: v for k, v in meta(wanted)["labels"].items() if (meta(there).get("labels") or {}).get(k) != v}
        if labels:
            there = await self._client.patch(NODES, "", self._config.node_name, {"metadata": {"labels": labels}})
        return there

    def _status(self, old: Object) -> Object:
        return node_status(self._config, self._machine, self.health, old, self._clock.now())

    def node_changed(self, node: Object | None) -> None:
        """The Node as the API has it now; None when it was deleted."""
        self._is_gone = node is None
        if node is None:
            self._wake.set()
        else:
            self._set_node(node)

    def _set_node(self, node: Object) -> None:
        self.node = node
        if dig(node, "spec", "podCIDR", default="") != self._cidr:
            self._wake.set()

    # ---- status

    async def keep_status(self) -> None:
        """Measure and report, until cancelled."""
        while True:
            self._wake.clear()
            if self._is_gone:
                await self._register_again()
            await self._measure()
            await self._report()
            timer = self._clock.call_later(self._interval(), self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()

    def _interval(self) -> float:
        if not self.health.complaints:
            return self._config.node_status_interval
        return NETWORK_INTERVAL if self._cidr and "NetworkReady" in self.health.complaints[0] else UNREADY_INTERVAL

    async def _measure(self) -> None:
        """Ask runtime and machine how they are."""
        try:
            cidr = dig(self.node, "spec", "podCIDR", default="")
            if cidr and cidr != self._cidr:
                await self._runtime.set_pod_cidr(cidr)
                self._cidr = cidr
            info = await self._runtime.info()
        except RuntimeFault as fault:
            self._cidr = ""
            self.health = replace(self.health, complaints=(f"container runtime is down: {fault.text}" if not fault.is_unreachable else "container runtime is down",))
            return
        complaints = []
        for condition, title in (("RuntimeReady", "container runtime not ready"), ("NetworkReady", "container runtime network not ready")):
            holds, reason, message = info.conditions.get(condition, (False, "", ""))
            if not holds:
                complaints.append(f"{title}: {condition}=false reason:{reason} message:{message}")
        self.health = replace(self.health, complaints=tuple(complaints), runtime_name=info.name, runtime_version=info.version, pressure=await self._pressure())
        await self._list_images()

    async def _pressure(self) -> measuring.Pressure:
        now, measured = self._clock.now(), measuring.pressure(self._config.root_dir, dict(self._config.eviction_hard))
        for kind, holds in measured._asdict().items():
            if holds:
                self._pressed[kind] = now
                await self.on_pressure(kind)
        recent = {kind: kind in self._pressed and now - self._pressed[kind] < PRESSURE_STAYS for kind in measured._fields}
        return measuring.Pressure(**recent)

    async def _list_images(self) -> None:
        now = self._clock.now()
        if self._images_at and now - self._images_at < IMAGES_INTERVAL:
            return
        try:
            images = await self._runtime.images()
        except RuntimeFault as fault:
            log.warning("images not listed: %s", fault)
            return
        self._images_at = now
        self.health = replace(self.health, images=tuple(((*i.repo_digests, *i.repo_tags), i.size) for i in images if i.repo_tags or i.repo_digests))

    async def _report(self) -> None:
        old = self.node.get("status") or {}
        status = self._status(old if self._written is None else self._written)
        now = self._clock.now()
        recent = self._written_at is not None and now - self._written_at < REPORT_INTERVAL
        same = self._written is not None and without_heartbeats(status) == without_heartbeats(self._written) and not _doubted(old)
        if recent and same:
            return
        try:
            await self._client.patch(NODES, "", self._config.node_name, {"status": status}, subresource="status")
        except (ApiError, OSError) as error:
            log.warning("status of node %s not written: %s", self._config.node_name, error)
            return
        if self._written is None or _ready(status) != _ready(self._written):
            log.info("node %s is %s", self._config.node_name, "ready" if _ready(status) else f"not ready: {', '.join(self.health.complaints)}")
        self._written, self._written_at = status, now

    # ---- lease

    async def keep_lease(self) -> None:
        """Renew the Lease, until cancelled."""
        while True:
            try:
                await self._renew()
            except (ApiError, OSError) as error:
                log.warning("lease of node %s not renewed: %s", self._config.node_name, error)
                await self._clock.sleep(RETRY)
                continue
            await self._clock.sleep(self._config.lease_seconds * LEASE_SHARE)

    async def _renew(self) -> None:
        name, now = self._config.node_name, format_micro(self._clock.now())
        try:
            await self._client.patch(LEASES, LEASE_NAMESPACE, name, {"spec": {"renewTime": now}})
        except ApiError as error:
            if error.code != 404:
                raise
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": meta(self.node).get("uid", "")}
            lease = {
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": self._config.lease_seconds, "renewTime": now},
            }
            await self._client.create(LEASES, LEASE_NAMESPACE, lease)


async def _nobody(kind: str) -> None:
    """Until somebody wants to be told of pressure."""


def _ready(status: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())


def _doubted(status: Object) -> bool:
    """Whether the node controller has given up on the node meanwhile."""
    return any(c["type"] == "Ready" and c["status"] == "Unknown" for c in status.get("conditions") or ())


def root_of(config: AgentConfig) -> Path:
    """The agent's root, made if it is missing."""
    config.root_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    config.pod_log_dir.mkdir(parents=True, exist_ok=True)
    return config.root_dir
