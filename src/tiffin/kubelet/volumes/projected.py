"""Volume type projected: several sources in one directory, tokens among them. In memory, because of the tokens."""
from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tiffin.kubelet.volumes import memory, payload, sources
from tiffin.kubelet.volumes.types import Ready, Request, VolumeFault, VolumeType


async def _part(source: Mapping[str, Any], mode: int, request: Request) -> sources.Payload:
    if part := source.get("serviceAccountToken"):
        return await sources.token(part, mode, request)
    if part := source.get("configMap"):
        return await sources.config_map(part, part.get("name", ""), mode, request)
    if part := source.get("secret"):
        return await sources.secret(part, part.get("name", ""), mode, request)
    if "downwardAPI" in source:
        return sources.downward(source["downwardAPI"] or {}, mode, request)
    raise VolumeFault(f"projected source {next(iter(source), 'without a kind')} is not known to this node")


async def set_up(request: Request) -> Ready:
    mode = request.source.get("defaultMode") or sources.DEFAULT_MODE
    parts = await asyncio.gather(*(_part(s, mode, request) for s in request.source.get("sources") or () if s))
    files = {name: file for part in parts for name, file in part.files.items()}
    memory.ensure_tmpfs(request.path)
    payload.write(request.path, files, request.fs_group, request.now)
    return Ready(request.path, min((p.refresh_at for p in parts if p.refresh_at), default=None))


VOLUME = VolumeType("projected", "kubernetes.io~projected", set_up, read_only=True, follows=True)
