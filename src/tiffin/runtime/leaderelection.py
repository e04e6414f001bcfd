"""Leader election over a Lease: at most one of several candidates works at a time.

Rules (client-go's leader election):
* A lease counts as held until its duration has passed since *we* saw it change; the holder's clock is never compared with ours.
* The leader renews every `retry` seconds and stops working when it could not for `renew_deadline`, which is shorter than the
  lease, so the old leader has stopped before a new one begins.
* A leader that is cancelled gives the lease back, so the next need not wait.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiffin.client.client import Client
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, dig
from tiffin.machinery.timestamps import format_micro
from tiffin.runtime.clock import Clock

log = logging.getLogger(__name__)

LEASES = Resource("coordination.k8s.io", "v1", "leases")


@dataclass(frozen=True, slots=True)
class Election:
    """Which lease, who we are, and the times in seconds."""

    namespace: str
    name: str
    identity: str
    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0


@dataclass(frozen=True, slots=True)
class Sight:
    """A lease as last seen, and when we saw it change."""

    lease: Object | None
    since: datetime


class Candidate:
    """One candidate; `run` campaigns, and works while it leads."""

    def __init__(self, client: Client, clock: Clock, election: Election) -> None:
        self._client, self._clock, self._election = client, clock, election
        self._sight = Sight(None, clock.now())

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait to become leader, then run `lead()`; returns when leadership is lost, raises what `lead` raises."""
        while not await self._try():
            await self._clock.sleep(self._election.retry)
        log.info("%s leads %s", self._election.identity, self._election.name)
        work = asyncio.ensure_future(lead())
        renewal = asyncio.create_task(self._renew())
        try:
            done, _ = await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (work, renewal):
                task.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)
            await self._release()

    async def _renew(self) -> None:
        """Renew until it has not worked for the renewal deadline."""
        renewed = self._clock.now()
        while (self._clock.now() - renewed).total_seconds() < self._election.renew_deadline:
            await self._clock.sleep(self._election.retry)
            if await self._try():
                renewed = self._clock.now()
        log.warning("%s lost %s", self._election.identity, self._election.name)

    async def _try(self) -> bool:
        """Take or renew the lease; False when another holds it or the server refused."""
        try:
            return await self._take(await self._look())
        except (ApiError, OSError) as error:
            log.debug("lease %s: %s", self._election.name, error)
            return False

    async def _look(self) -> Object | None:
        try:
            lease = await self._client.get(LEASES, self._election.namespace, self._election.name)
        except ApiError as error:
            if error.code != 404:
                raise
            lease = None
        if (lease or {}).get("spec") != (self._sight.lease or {}).get("spec"):
            self._sight = Sight(lease, self._clock.now())
        return lease

    async def _take(self, lease: Object | None) -> bool:
        holder = dig(lease, "spec", "holderIdentity", default="")
        held_for = timedelta(seconds=dig(lease, "spec", "leaseDurationSeconds", default=self._election.duration))
        if holder and holder != self._election.identity and self._clock.now() < self._sight.since + held_for:
            return False
        spec = self._spec(lease, holder)
        if lease is None:
            metadata = {"namespace": self._election.namespace, "name": self._election.name}
            new = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
            written = await self._client.create(LEASES, self._election.namespace, new)
        else:
            written = await self._client.update(LEASES, self._election.namespace, lease | {"spec": spec})
        self._sight = Sight(written, self._clock.now())
        return True

    def _spec(self, lease: Object | None, holder: str) -> Object:
        now = format_micro(self._clock.now())
        mine = holder == self._election.identity
        changes = dig(lease, "spec", "leaseTransitions", default=0) + (0 if mine or lease is None else 1)
        return {
            "holderIdentity": self._election.identity,
            "leaseDurationSeconds": int(self._election.duration),
            "acquireTime": dig(lease, "spec", "acquireTime") if mine else now,
            "renewTime": now,
            "leaseTransitions": changes,
        }

    async def _release(self) -> None:
        lease = self._sight.lease
        if lease is None or dig(lease, "spec", "holderIdentity") != self._election.identity:
            return
        now = format_micro(self._clock.now())
        spec = lease["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now}
        try:
            await self._client.update(LEASES, self._election.namespace, lease | {"spec": spec})
        except (ApiError, OSError) as error:
            log.debug("lease %s not given back: %s", self._election.name, error)
