"""What the tests of admission plugins share: writing an attempt in one line and telling its refusal."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.user import User
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PODS = Resource("", "v1", "pods")


def attributes(
    operation: str, resource: Resource, obj: Object | None, old: Object | None, user: User, subresource: str
) -> AdmissionAttributes:
    metadata = (old or obj or {}).get("metadata") or {}
    name = "" if operation == "CREATE" else metadata.get("name", "")
    return AdmissionAttributes(operation, user, "", resource, NOW, subresource, metadata.get("namespace", ""), name)


def attempt(
    plugin: Plugin,
    operation: str,
    resource: Resource,
    obj: Object | None,
    old: Object | None = None,
    user: User = ADMIN,
    subresource: str = "",
    dry_run: bool = False,
) -> str:
    """Runs the plugin as the chain would; gives the words of its refusal after "is forbidden: ", "" if it has none."""
    a = attributes(operation, resource, obj, old, user, subresource)
    a.dry_run = dry_run
    if operation not in plugin.operations or (plugin.resources and resource.group_resource not in plugin.resources):
        return ""
    try:
        for method in (plugin.admit, plugin.validate):
            waiting = method(a, obj, old)
            if waiting is not None:
                asyncio.run(_wait(waiting))
    except ApiError as error:
        assert error.code in (403, 404), error.message
        return error.message.partition("is forbidden: ")[2] or error.message
    return ""


async def _wait(waiting: Any) -> None:
    await waiting


def pod(name: str = "p", namespace: str = "a", annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    metadata: Object = {"name": name, "namespace": namespace} | ({"annotations": annotations} if annotations else {})
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def named(name: str, namespace: str = "", **fields: Any) -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {}) | fields.pop("metadata", {})
    return {"metadata": metadata, **fields}
