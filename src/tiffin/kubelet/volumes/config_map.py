"""Volume type configMap: the keys of a ConfigMap as files that follow its changes."""
from __future__ import annotations

from tiffin.kubelet.volumes import payload, sources
from tiffin.kubelet.volumes.types import Ready, Request, VolumeType


async def set_up(request: Request) -> Ready:
    source = request.source
    made = await sources.config_map(source, source.get("name", ""), source.get("defaultMode") or sources.DEFAULT_MODE, request)
    payload.write(request.path, made.files, request.fs_group, request.now)
    return Ready(request.path)


VOLUME = VolumeType("configMap", "kubernetes.io~configmap", set_up, read_only=True, follows=True)
