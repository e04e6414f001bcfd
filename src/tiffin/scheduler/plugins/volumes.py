"""VolumeBinding, as far as it concerns claims alone: a pod waits for claims that are not there, are going or have lost their volume."""
from __future__ import annotations

from collections.abc import Callable, Iterator

from tiffin.machinery.object import Object, dig, is_deleting
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.state import Mask, State

FindClaim = Callable[[str, str], Object | None]
"""The claim of a namespace and name."""


class VolumeBinding:
    name = "VolumeBinding"

    def __init__(self, claim: FindClaim) -> None:
        self._claim = claim

    def narrowed(self, info: PodInfo, state: State) -> Mask | str | None:
        for name, ephemeral in _claims(info):
            claim = self._claim(info.namespace, name)
            if claim is None:
                awaited = f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
                return awaited if ephemeral else f'persistentvolumeclaim "{name}" not found'
            if dig(claim, "status", "phase") == "Lost":
                return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{dig(claim, "spec", "volumeName", default="")}"'
            if is_deleting(claim):
                return f'persistentvolumeclaim "{name}" is being deleted'
        return None


def _claims(info: PodInfo) -> Iterator[tuple[str, bool]]:
    """Names of the claims a pod uses, and whether they are made for it."""
    for volume in info.spec.get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield volume["persistentVolumeClaim"]["claimName"], False
        elif volume.get("ephemeral"):
            yield f"{info.key.name}-{volume['name']}", True
