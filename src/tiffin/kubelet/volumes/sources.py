"""The files that objects give to volumes: config maps, secrets, the downward API, tokens. Shared by their own types and `projected`."""
from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tiffin.kubelet.fields import FieldUnknownError, field_value, resource_value
from tiffin.kubelet.state import container_named
from tiffin.kubelet.volumes.payload import File
from tiffin.kubelet.volumes.types import Request, VolumeFault, run_as_user
from tiffin.machinery.object import namespace_of

DEFAULT_MODE = 0o644
REFRESH_SHARE, LONGEST_REFRESH = 0.8, timedelta(hours=24)
"""A token is replaced when this share of its life, or this long, has passed."""


class Payload(NamedTuple):
    files: dict[str, File]
    refresh_at: datetime | None = None


async def config_map(source: Mapping[str, Any], name: str, mode: int, request: Request) -> Payload:
    """Files of a config map, all keys or those of `items`. Raises VolumeFault."""
    found = await request.objects.config_map(namespace_of(request.pod), name)
    if found is None:
        return _missing(source, f'configmap "{name}" not found')
    data = {k: v.encode() for k, v in (found.get("data") or {}).items()}
    data |= {k: base64.b64decode(v) for k, v in (found.get("binaryData") or {}).items()}
    return Payload(_chosen(data, source, mode, "configmap references non-existent config key"))


async def secret(source: Mapping[str, Any], name: str, mode: int, request: Request) -> Payload:
    """Files of a secret, all keys or those of `items`. Raises VolumeFault."""
    found = await request.objects.secret(namespace_of(request.pod), name)
    if found is None:
        return _missing(source, f'secret "{name}" not found')
    data = {k: base64.b64decode(v) for k, v in (found.get("data") or {}).items()}
    return Payload(_chosen(data, source, mode, "references non-existent secret key"))


def _missing(source: Mapping[str, Any], complaint: str) -> Payload:
    if source.get("optional"):
        return Payload({})
    raise VolumeFault(complaint)


def _chosen(data: Mapping[str, bytes], source: Mapping[str, Any], mode: int, complaint: str) -> dict[str, File]:
    items: Sequence[Mapping[str, Any]] = source.get("items") or ()
    if not items:
        return {key: File(value, mode) for key, value in data.items()}
    files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], _mode_of(item, mode))
        elif not source.get("optional"):
            raise VolumeFault(f"{complaint}: {item['key']}")
    return files


def _mode_of(item: Mapping[str, Any], mode: int) -> int:
    return mode if item.get("mode") is None else item["mode"]


def downward(source: Mapping[str, Any], mode: int, request: Request) -> Payload:
    """Files of the downward API. Raises VolumeFault."""
    files = {}
    for item in source.get("items") or ():
        try:
            if reference := item.get("fieldRef"):
                text = field_value(request.pod, reference["fieldPath"], request.facts)
            else:
                reference = item.get("resourceFieldRef") or {}
                container = container_named(request.pod, reference.get("containerName", ""))
                if container is None:
                    raise VolumeFault(f"container {reference.get('containerName', '')} not found")
                text = resource_value(container, reference, request.facts)
        except FieldUnknownError as error:
            raise VolumeFault(str(error)) from error
        files[item["path"]] = File(text.encode(), _mode_of(item, mode))
    return Payload(files)


async def token(source: Mapping[str, Any], mode: int, request: Request) -> Payload:
    """A service-account token, to be replaced in good time. Only the pod's own user may read it where that user is known."""
    text, issued, expires = await request.objects.token(request.pod, source.get("audience") or "", source.get("expirationSeconds") or 3600)
    user = run_as_user(request.pod)
    if user is not None or request.fs_group is not None:
        mode = 0o600
    refresh_at = issued + min((expires - issued) * REFRESH_SHARE, LONGEST_REFRESH)
    return Payload({source["path"]: File(text.encode(), mode, -1 if user is None else user)}, refresh_at)
