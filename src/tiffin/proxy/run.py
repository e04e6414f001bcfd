"""The proxy at work: watches in, transactions out. The only place of the proxy with IO.

* One run of nft at a time. What changes meanwhile, and within a few milliseconds after a change, goes into the next one together.
* At the start, after a failure, and when the kernel's count of transactions shows one that was not ours, the table is read and what
  differs is put right; when it is not our edition, or rules are missing, it is replaced in one step.
* Stopping leaves everything as it is: traffic flows on without the agent.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from tiffin.client.cache import Caches, Subscriber
from tiffin.machinery.object import Key, Object, Resource, name_of
from tiffin.proxy import conntrack, nftables
from tiffin.proxy.config import ProxyConfig
from tiffin.proxy.endpoints import Target, refused_addresses
from tiffin.proxy.healthcheck import Health, HealthPorts
from tiffin.proxy.ledger import Changes, Ledger, difference
from tiffin.proxy.nftables import NftError, Tables
from tiffin.proxy.plan import FrontKey, ServicePlan, node_items, plan, rank, udp_changes
from tiffin.proxy.policies import Policies
from tiffin.proxy.policywatch import PolicyWatch
from tiffin.proxy.skeleton import FAMILIES
from tiffin.proxy.state import State
from tiffin.runtime.clock import Clock

log = logging.getLogger(__name__)

SERVICES = Resource("", "v1", "services")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")
NODES = Resource("", "v1", "nodes")

#: Without this switch the kernel does not undo, on frames between two pods of one bridge, what it did to the packet before.
_BRIDGE_SWITCH = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_BACKOFF = 1.0, 60.0
_PLANNED_AT_ONCE = 100


class Proxy:
    """The services of one node. Construct it before the caches run, or after: it sees all there is either way."""

    def __init__(self, config: ProxyConfig, caches: Caches, clock: Clock, tables: Tables) -> None:
        self._config, self._caches, self._clock, self._tables = config, caches, clock, tables
        self._state, self._ledger = State(config.node_name), Ledger()
        self._plans: dict[Key, ServicePlan] = {}
        self._health_plans: dict[Key, ServicePlan] = {}
        self._udp: dict[FrontKey, frozenset[Target]] = {}
        self._flows_failed = False
        self._told: dict[Key, frozenset[tuple[str, str]]] = {}
        self._health = HealthPorts()
        self._families: set[str] = set()
        self._certain = False
        self._generation = 0
        self._wake = asyncio.Event()
        self._warned = False
        self._policies = Policies(config.node_name, config.node_local_addresses)
        self._policy_watch = PolicyWatch(self._policies, caches, self._wake.set)
        for resource, changed, fields in (
            (SERVICES, self._state.service_changed, ""),
            (SLICES, self._state.slice_changed, ""),
            (NODES, self._node_changed, f"metadata.name={config.node_name}"),
        ):
            caches.add(resource, fields=fields).subscribe(self._then_wake(changed))

    async def run(self) -> None:
        """Keep the table true until cancelled."""
        await self._caches.synced((SERVICES, SLICES, NODES))
        await self._policy_watch.synced()
        failures, self._certain = 0, False
        try:
            while True:
                try:
                    await self._sync()
                    failures = 0
                    await self._something_to_do()
                except (NftError, OSError) as error:
                    # Nothing of the transaction was applied; what is there is read before the next attempt.
                    self._certain = False
                    if not failures:
                        log.warning("services are not up to date on this node, will be tried again: %s", error)
                    failures += 1
                    await self._clock.sleep(min(_BACKOFF[0] * 2 ** (failures - 1), _BACKOFF[1]))
        finally:
            await self._health.close()

    def _then_wake(self, changed: Subscriber) -> Subscriber:
        def tell(old: Object | None, new: Object | None) -> None:
            changed(old, new)
            if self._state.is_dirty:
                self._wake.set()

        return tell

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and name_of(new) == self._config.node_name and self._state.node_changed(new):
            self._wake.set()

    async def _something_to_do(self) -> None:
        """Until something changes, here or by somebody else in the kernel's tables; then a little longer, for what comes with it."""
        while not self._wake.is_set():
            check = self._clock.call_later(self._config.check_seconds, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                check.cancel()
            if not self._state.is_dirty and not self._policies.is_dirty and self._tables.generation() == self._generation:
                self._wake.clear()
        await self._clock.sleep(self._config.coalesce_seconds)

    async def _sync(self) -> None:
        """Plans what is dirty and programs the difference."""
        self._wake.clear()
        planned = await self._plan()
        changes = self._ledger.take()
        if not self._certain or self._tables.generation() != self._generation:
            await self._restore()
        elif changes:
            await self._apply(changes)
        self._certain = True
        await self._forget_flows(planned)
        await self._health.update({plan.health_port: Health(key, len(plan.local_targets)) for key, plan in self._health_plans.items()})

    async def _plan(self) -> dict[FrontKey, frozenset[Target]]:
        """Answers the UDP fronts whose flows have to be looked at."""
        flows: dict[FrontKey, frozenset[Target]] = dict(self._udp)
        bridge_is_seen = _BRIDGE_SWITCH.exists() and _BRIDGE_SWITCH.read_text().strip() == "1"
        self._ledger.replace(("node",), node_items(self._state.node, self._config, bridge_is_seen))
        self._policies.plan(self._ledger)
        if self._policies.in_force and not bridge_is_seen and not self._warned:
            self._warned = True
            log.error("network policies do not keep pods of this node apart: the kernel module br_netfilter is not there, or its switch is off")
        for number, key in enumerate(self._state.take_dirty(), 1):
            flows.update(self._plan_service(key))
            if number % _PLANNED_AT_ONCE == 0:
                await asyncio.sleep(0)  # the kubelet shares this loop
        self._udp = flows
        return flows

    def _plan_service(self, key: Key) -> Iterable[tuple[FrontKey, frozenset[Target]]]:
        service, slices = self._state.services.get(key), self._state.slices(key)
        before = self._plans.pop(key, None) or ServicePlan()
        after = ServicePlan()
        if service is not None:
            self._tell(key, frozenset(refused_addresses(slices)))
            try:
                after = self._plans[key] = plan(service, slices, self._state.node, self._config, before)
            except Exception:
                # One service that we fail to understand must not keep the others from being served.
                log.exception("service %s/%s is left out", *key)
        else:
            self._told.pop(key, None)
        self._health_plans.pop(key, None)
        if after.health_port:
            self._health_plans[key] = after
        self._ledger.replace(("service", *key), after.items, rank(service) if service else ())
        return list(udp_changes(before.udp, after.udp))

    async def _apply(self, changes: Changes) -> None:
        """One transaction; the table of a family is made when the first of its items comes."""
        new = {item.family for item in changes.added} - self._families
        if new:
            await self._restore()
        else:
            await self._tables.run(nftables.transaction(changes))
            self._generation += 1

    async def _restore(self) -> None:
        """Makes the table what it should be, whatever it is. What others do meanwhile raises the generation above what we count."""
        self._generation = self._tables.generation()
        contents = self._ledger.contents()
        for family in FAMILIES:
            wanted = {item: content for item, content in contents.items() if item.family == family}
            if not wanted:
                continue
            listed = await self._tables.listing(family)
            actual = None if listed is None else nftables.items(family, listed, wanted)
            if actual is None:
                await self._tables.run(nftables.made_anew(family, wanted))
                self._generation += 1
            elif changes := difference(actual, wanted):
                await self._tables.run(nftables.transaction(changes))
                self._generation += 1
            self._families.add(family)

    async def _forget_flows(self, flows: dict[FrontKey, frozenset[Target]]) -> None:
        """What fails is tried again with the next change: services are up to date without it."""
        if not flows:
            return
        try:
            await asyncio.to_thread(conntrack.forget_stale, flows)
        except OSError as error:
            if not self._flows_failed:
                log.warning("UDP flows towards endpoints that have gone go on, as they cannot be removed: %s", error)
            self._flows_failed = True
        else:
            self._udp, self._flows_failed = {}, False

    def _tell(self, key: Key, refused: frozenset[tuple[str, str]]) -> None:
        for slice, address in sorted(refused - self._told.get(key, frozenset())):
            log.warning("endpoint slice %s/%s: the address %s is no endpoint and is ignored", key.namespace, slice, address)
        self._told[key] = refused
