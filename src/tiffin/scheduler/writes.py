"""What the scheduler writes into pods: why one has no node, which node one is nominated to, and that a victim has to go."""
from __future__ import annotations

import logging
from typing import Any

from tiffin.client.client import Client, PatchType
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, dig, is_deleting, key_of, meta, uid_of
from tiffin.machinery.timestamps import format_time
from tiffin.runtime.clock import Clock
from tiffin.runtime.series import SeriesRecorder
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.preemption import REASON, Preemption
from tiffin.scheduler.profile import SCHEDULER_NAME

logger = logging.getLogger(__name__)

PODS = Resource("", "v1", "pods")


class PodWriter:
    """Writes the status of pods. What cannot be written is logged: the next attempt to schedule writes it again."""

    def __init__(self, client: Client, clock: Clock, recorder: SeriesRecorder) -> None:
        self._client, self._clock, self._recorder = client, clock, recorder

    async def refused(self, info: PodInfo, message: str, nominated: str) -> None:
        """Says in the pod's condition and in an event why it has no node, and for which node room is being made ("" for none)."""
        self._recorder.event(info.pod, "Warning", "FailedScheduling", message, "Scheduling")
        status: dict[str, Any] = {}
        told = {"reason": "Unschedulable", "message": message}
        if not _says(info.pod, "PodScheduled", "False", told):
            status["conditions"] = [self._condition(info.pod, "PodScheduled", "False", told)]
        if nominated != dig(info.pod, "status", "nominatedNodeName", default=""):
            status["nominatedNodeName"] = nominated or None
        await self._write(info.pod, status)

    async def nomination_lost(self, info: PodInfo) -> None:
        """A more important pod took the node that this one was nominated to."""
        await self._write(info.pod, {"nominatedNodeName": None})

    async def evict(self, preemption: Preemption, preemptor: PodInfo) -> None:
        """Has the victims of a preemption end gracefully."""
        told = {"reason": REASON, "message": f"{SCHEDULER_NAME}: preempting to accommodate a higher priority pod"}
        for victim in preemption.victims:
            if is_deleting(victim.pod):
                continue
            await self._write(victim.pod, {"conditions": [self._condition(victim.pod, "DisruptionTarget", "True", told)]})
            try:
                await self._client.delete(PODS, victim.namespace, victim.key.name, uid=victim.uid)
            except (ApiError, OSError) as error:
                logger.info("%s could not be preempted: %s", "/".join(victim.key), error)
                continue
            note = f"Preempted by pod {preemptor.uid} on node {preemption.node}"
            self._recorder.event(victim.pod, "Normal", "Preempted", note, "Preempting", related=preemptor.pod)

    async def _write(self, pod: Object, status: dict[str, Any]) -> None:
        if not status:
            return
        namespace, name = key_of(pod)
        patch = {"metadata": {"uid": uid_of(pod)}, "status": status}
        try:
            await self._client.patch(PODS, namespace, name, patch, type=PatchType.STRATEGIC, subresource="status")
        except (ApiError, OSError) as error:
            logger.info("the status of %s/%s could not be written: %s", namespace, name, error)

    def _condition(self, pod: Object, type: str, status: str, told: dict[str, str]) -> Object:
        """A condition; the time of its last change stays while its status stays."""
        present = condition(pod, type)
        since = present.get("lastTransitionTime") if present.get("status") == status else None
        made = {"type": type, "status": status, "lastProbeTime": None, "lastTransitionTime": since or format_time(self._clock.now()), **told}
        generation = meta(pod).get("generation")
        return made | ({"observedGeneration": generation} if generation else {})


def condition(pod: Object, type: str) -> Object:
    """The pod's condition of a type, empty where it has none."""
    return next((c for c in dig(pod, "status", "conditions", default=()) if c.get("type") == type), {})


def _says(pod: Object, type: str, status: str, told: dict[str, str]) -> bool:
    wanted = told | {"status": status} | ({"observedGeneration": meta(pod)["generation"]} if meta(pod).get("generation") else {})
    present = condition(pod, type)
    return all(present.get(key) == value for key, value in wanted.items())
