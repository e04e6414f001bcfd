"""Volume type secret: the keys of a Secret as files in memory that follow its changes."""
from __future__ import annotations

from tiffin.kubelet.volumes import memory, payload, sources
from tiffin.kubelet.volumes.types import Ready, Request, VolumeType


async def set_up(request: Request) -> Ready:
    source = request.source
    made = await sources.secret(source, source.get("secretName", ""), source.get("defaultMode") or sources.DEFAULT_MODE, request)
    memory.ensure_tmpfs(request.path)
    payload.write(request.path, made.files, request.fs_group, request.now)
    return Ready(request.path)


VOLUME = VolumeType("secret", "kubernetes.io~secret", set_up, read_only=True, follows=True)
