"""Writing pods' statuses into the API: only what changed, one write at a time per pod, the newest wins.

A status that is likely to be overtaken at once (a pod in the middle of starting) may be held back for a moment, so that most pods
go from nothing to Running and Ready in one write. A write that cannot be delivered is tried again until a newer one replaces it.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiffin.client.client import Client, PatchType
from tiffin.kubelet.status import OWN_CONDITIONS
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, dig, name_of, namespace_of, uid_of
from tiffin.runtime.clock import Clock, Timer

log = logging.getLogger(__name__)

PODS = Resource("", "v1", "pods")
OWNED = (
    "phase", "observedGeneration", "conditions", "reason", "message", "hostIP", "hostIPs", "podIP", "podIPs", "startTime",
    "initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses",
)
"""Fields of a pod's status that the node agent writes."""
MERGED_BY_IP = ("podIPs", "hostIPs")
FIRST_RETRY, LONGEST_RETRY = 0.5, 30.0


def status_patch(old: Object, new: Object) -> Object | None:
    """The strategic merge patch from one status to another, None when they are the same."""
    patch: dict[str, Any] = {}
    for name in OWNED:
        before, after = old.get(name), new.get(name)
        if name == "conditions" and before:
            before = [{k: v for k, v in c.items() if v is not None} for c in before]  # the API shows lastProbeTime: null
        if before == after:
            continue
        if name == "conditions":
            patch["$setElementOrder/conditions"] = [{"type": c["type"]} for c in after or ()]
            patch[name] = _own_conditions(before or (), after or ())
        elif name in MERGED_BY_IP and before and after:
            patch[name] = [*after, {"$patch": "replace"}]
        else:
            patch[name] = after
    return patch or None


def _own_conditions(before: Sequence[Object], after: Sequence[Object]) -> list[Object]:
    """The agent's conditions as a merge by type takes them: what a condition no longer has is null."""
    had = {c["type"]: c for c in before}
    return [dict.fromkeys(had.get(c["type"], ())) | c for c in after if c["type"] in OWN_CONDITIONS]


@dataclass(slots=True)
class _Pending:
    pod: Object
    status: Object
    timer: Timer | None = None
    task: asyncio.Task[None] | None = None
    sent: Object | None = None
    written: list[asyncio.Future[None]] = field(default_factory=list)


class Publisher:
    """Statuses on their way to the API, by UID of the pod (for static pods, of its mirror)."""

    def __init__(self, client: Client, clock: Clock, vanished: Callable[[str], None] = lambda uid: None) -> None:
        self._client, self._clock, self._vanished = client, clock, vanished
        self._pending: dict[str, _Pending] = {}

    def publish(self, pod: Object, status: Object, delay: float = 0.0) -> None:
        """Have the API show `status`, at the latest after `delay` seconds; `pod` is the object as the API has it."""
        entry = self._pending.setdefault(uid_of(pod), _Pending(pod, status))
        entry.pod, entry.status = pod, status
        if entry.sent == status or entry.task is not None:
            return
        if delay and entry.timer is None:
            entry.timer = self._clock.call_later(delay, lambda: self._start(uid_of(pod)))
        elif not delay:
            self._start(uid_of(pod))

    async def settled(self, pod: Object) -> None:
        """Wait until the last status published for a pod is written, or the pod is gone."""
        entry = self._pending.get(uid_of(pod))
        if entry is None or (entry.sent == entry.status and entry.task is None):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry.written.append(future)
        self._start(uid_of(pod))
        await future

    def forget(self, uid: str) -> None:
        entry = self._pending.pop(uid, None)
        if entry is None:
            return
        if entry.timer:
            entry.timer.cancel()
        for future in entry.written:
            if not future.done():
                future.set_result(None)

    def _start(self, uid: str) -> None:
        entry = self._pending.get(uid)
        if entry is None:
            return
        if entry.timer:
            entry.timer.cancel()
            entry.timer = None
        if entry.task is None:
            entry.task = asyncio.create_task(self._write(uid, entry), name=f"status of pod {name_of(entry.pod)}")

    async def _write(self, uid: str, entry: _Pending) -> None:
        """Write until what was written is what was asked for."""
        retry = FIRST_RETRY
        try:
            while entry.status != entry.sent and self._pending.get(uid) is entry:
                status = entry.status
                try:
                    await self._patch(entry, status)
                    entry.sent, retry = status, FIRST_RETRY
                except (ApiError, OSError) as error:
                    if isinstance(error, ApiError) and error.code in (404, 409, 422):
                        # Gone, replaced by a namesake, or refused as it stands: the same write can never succeed.
                        log.log(logging.WARNING if error.code == 422 else logging.DEBUG, "status of pod %s/%s: %s", namespace_of(entry.pod), name_of(entry.pod), error)
                        entry.sent = status
                        self._vanished(uid)
                        continue
                    log.warning("status of pod %s/%s not written: %s", namespace_of(entry.pod), name_of(entry.pod), error)
                    await self._clock.sleep(retry)
                    retry = min(retry * 2, LONGEST_RETRY)
        finally:
            entry.task = None
            for future in entry.written:
                if not future.done():
                    future.set_result(None)
            entry.written.clear()

    async def _patch(self, entry: _Pending, status: Object) -> None:
        old = entry.sent if entry.sent is not None else dig(entry.pod, "status", default={})
        patch = status_patch(old, status)
        if patch is None:
            return
        body = {"metadata": {"uid": uid_of(entry.pod)}, "status": patch}
        await self._client.patch(PODS, namespace_of(entry.pod), name_of(entry.pod), body, type=PatchType.STRATEGIC, subresource="status")
