"""Whether an aggregated server can be asked: its Service, its endpoints, and one try.

What is found becomes the condition Available; reasons and messages are kube-aggregator's. The try also learns what the server
serves, for discovery.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from tiffin.apiserver.aggregation.remote import Remote
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.servicedial import SERVICE_NAME, SERVICES, SLICES
from tiffin.apiserver.user import MASTERS
from tiffin.machinery.errors import ApiError
from tiffin.machinery.field import shown
from tiffin.machinery.object import Object, dig, labels_of

CHECK_TIMEOUT = 5.0
MAX_DOCUMENT = 16 << 20
IDENTITY = {"X-Remote-User": "system:kube-aggregator", "X-Remote-Group": MASTERS}
"""As whom the try is made: somebody who may see discovery in any case."""


def service_complaint(reader: Reader, remote: Remote) -> tuple[str, str] | None:
    """Reason and message where Service and endpoints say already that nobody can answer."""
    name, namespace = remote.service, remote.namespace
    where = f"service/{name} in {shown(namespace)}"
    service = reader.get(SERVICES, namespace, name)
    if service is None:
        return "ServiceNotFound", f"{where} is not present"
    if dig(service, "spec", "type", default="ClusterIP") != "ClusterIP":
        return None
    port = next((p for p in dig(service, "spec", "ports", default=[]) if p.get("port") == remote.port), None)
    if port is None:
        return "ServicePortError", f"{where} is not listening on port {remote.port}"
    slices = [s for s in reader.list(SLICES, namespace) if labels_of(s).get(SERVICE_NAME) == name]
    if not slices:
        return "EndpointsNotFound", f"cannot find endpointslices for {where}"
    port_name = port.get("name") or ""
    if not _answers(slices, port_name):
        return "MissingEndpoints", f"endpointslices for {where} have no addresses with port name {shown(port_name)}"
    return None


def _answers(slices: Iterable[Object], port_name: str) -> bool:
    return any(
        any(dig(e, "conditions", "ready", default=True) for e in piece.get("endpoints") or ())
        and any((p.get("name") or "") == port_name and p.get("port") for p in piece.get("ports") or ())
        for piece in slices)


async def check(reader: Reader, remote: Remote) -> Object:
    """The condition Available as it is now, without its time; `remote` learns what it serves."""
    complaint = service_complaint(reader, remote) or await _try(remote)
    if complaint is None:
        return {"type": "Available", "status": "True", "reason": "Passed", "message": "all checks passed"}
    return {"type": "Available", "status": "False", "reason": complaint[0], "message": complaint[1]}


async def _try(remote: Remote) -> tuple[str, str] | None:
    where = remote.prefix
    try:
        pool = remote.unverified_pool()
        where = f"https://{pool.origin.authority}{remote.prefix}"
        async with await pool.request("GET", remote.prefix, {**IDENTITY, "Accept": "application/json"}, timeout=CHECK_TIMEOUT) as answer:
            if not 200 <= answer.status < 300:
                return _failed(where, f"bad status from {where}: {answer.status}")
            found = orjson.loads(await answer.body(MAX_DOCUMENT))
    except (OSError, ApiError, ValueError) as error:
        return _failed(where, f'Get "{where}": {error or "i/o timeout"}')
    resources = found.get("resources") if isinstance(found, dict) else None
    remote.resources = [r for r in resources if isinstance(r, dict) and r.get("name")] if isinstance(resources, list) else []
    return None


def _failed(where: str, why: str) -> tuple[str, str]:
    return "FailedDiscoveryCheck", f"failing or missing response from {where}: {why}"


async def learn_openapi(remote: Remote) -> None:
    """Asks an available server for its OpenAPI documents; one that has none is described by none."""
    remote.openapi_v2 = await _document(remote, "/openapi/v2")
    paths = (await _document(remote, "/openapi/v3")).get("paths") or {}
    url = str((paths.get(remote.prefix.lstrip("/")) or {}).get("serverRelativeURL") or "")
    remote.openapi_v3 = url.partition("hash=")[2] or ("0" if url else "")


async def _document(remote: Remote, path: str) -> dict[str, Any]:
    try:
        async with await remote.pool().request("GET", path, {**IDENTITY, "Accept": "application/json"}, timeout=CHECK_TIMEOUT) as answer:
            if answer.status != 200:
                return {}
            found = orjson.loads(await answer.body(MAX_DOCUMENT))
    except (OSError, ApiError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
