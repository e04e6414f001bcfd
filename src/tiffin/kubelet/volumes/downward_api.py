"""Volume type downwardAPI: fields of the pod as files that follow its labels and annotations."""
from __future__ import annotations

from tiffin.kubelet.volumes import payload, sources
from tiffin.kubelet.volumes.types import Ready, Request, VolumeType


async def set_up(request: Request) -> Ready:
    made = sources.downward(request.source, request.source.get("defaultMode") or sources.DEFAULT_MODE, request)
    payload.write(request.path, made.files, request.fs_group, request.now)
    return Ready(request.path)


VOLUME = VolumeType("downwardAPI", "kubernetes.io~downward-api", set_up, read_only=True, follows=True)
