"""The volumes of one pod over its life: set up once before anything starts, refreshed when what they show changes or runs out."""
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from tiffin.kubelet.fields import Facts
from tiffin.kubelet.node import Node
from tiffin.kubelet.volumes.types import VolumeFault
from tiffin.machinery.object import Object, uid_of
from tiffin.runtime.clock import Timer

REFRESH_RETRY = timedelta(minutes=1)


class PodVolumes:
    """`refresh` is called when the volumes should be refreshed; the worker then runs `bring_up_to_date` as a task."""

    def __init__(self, node: Node, refresh: Callable[[], None]) -> None:
        self._node, self._refresh = node, refresh
        self.ready = False
        self._changed = False
        self._timer: Timer | None = None

    async def set_up(self, pod: Object, facts: Facts) -> bool:
        """Make every volume appear; whether that went well. Failures become events."""
        refresh_at = await self._set_up(pod, facts, only_following=False)
        self.ready = refresh_at is not None
        return self.ready

    def note_change(self) -> None:
        """Something that volumes show has changed."""
        self._changed = True
        if self.ready:
            self._refresh()

    async def bring_up_to_date(self, pod: Object, facts: Facts) -> None:
        """Refresh until nothing changes meanwhile."""
        self._changed = True
        while self._changed:
            self._changed = False
            await self._set_up(pod, facts, only_following=True)

    async def _set_up(self, pod: Object, facts: Facts, *, only_following: bool) -> bool | None:
        try:
            refresh_at = await self._node.volumes.set_up(pod, facts, self._node.clock.now(), only_following=only_following)
        except VolumeFault as fault:
            for line in str(fault).splitlines():
                self._node.recorder.event(pod, "Warning", "FailedMount", line)
            if only_following:
                self._arm(self._node.clock.now() + REFRESH_RETRY)
            return None
        self._arm(refresh_at)
        return True

    def _arm(self, moment: datetime | None) -> None:
        self.stop()
        if moment is not None:
            self._timer = self._node.clock.call_later((moment - self._node.clock.now()).total_seconds(), self._refresh)

    def stop(self) -> None:
        """No more refreshing."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    async def tear_down(self, pod: Object) -> bool:
        """Give the volumes back; whether that went well. Failures become events."""
        self.stop()
        try:
            await self._node.volumes.tear_down(uid_of(pod))
        except (VolumeFault, OSError) as error:
            self._node.recorder.event(pod, "Warning", "FailedUnMount", str(error))
            return False
        self.ready = False
        return True
