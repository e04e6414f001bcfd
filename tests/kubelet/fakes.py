"""The make-believe API server of `tiffin.client.memory`, taught what the node agent needs: the few merge rules of a pod's status, tokens."""
from __future__ import annotations

from datetime import timedelta
from typing import Any

from tiffin.client.client import PatchType
from tiffin.client.memory import MemoryClient
from tiffin.machinery.object import Object, Resource, dig
from tiffin.machinery.timestamps import format_time


class ApiServer(MemoryClient):
    """MemoryClient plus strategic merge of conditions and addresses, and TokenRequest."""

    tokens = 0

    async def patch(
        self, resource: Resource, namespace: str, name: str, patch: Any, *, type: PatchType = PatchType.MERGE, subresource: str = "", field_manager: str = "", force: bool = False
    ) -> Object:
        if type is PatchType.STRATEGIC and isinstance(patch.get("status"), dict):
            old = await self.get(resource, namespace, name)
            patch = patch | {"status": strategic_status(dig(old, "status", default={}), patch["status"])}
        return await super().patch(resource, namespace, name, patch, type=PatchType.MERGE, subresource=subresource)

    async def create(self, resource: Resource, namespace: str, obj: Object, *, name: str = "", subresource: str = "") -> Object:
        if subresource == "token":
            self.tokens += 1
            expires = self.now() + timedelta(seconds=obj["spec"]["expirationSeconds"])
            return obj | {"status": {"token": f"token-{self.tokens}", "expirationTimestamp": format_time(expires)}}
        return await super().create(resource, namespace, obj, name=name, subresource=subresource)


def strategic_status(old: Object, patch: Object) -> Object:
    """A patch of a pod's status as a plain merge patch of the same effect."""
    result = {k: v for k, v in patch.items() if not k.startswith("$")}
    for name in ("podIPs", "hostIPs"):
        if result.get(name):
            result[name] = [entry for entry in result[name] if "$patch" not in entry]
    if "conditions" in result:
        merged = {c["type"]: c for c in old.get("conditions") or ()}
        for condition in result["conditions"]:
            together = merged.get(condition["type"], {}) | condition
            merged[condition["type"]] = {k: v for k, v in together.items() if v is not None}
        order = [entry["type"] for entry in patch["$setElementOrder/conditions"]]
        result["conditions"] = sorted(merged.values(), key=lambda c: order.index(c["type"]) if c["type"] in order else -1)
    return result
