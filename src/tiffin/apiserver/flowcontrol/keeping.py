"""Keeping the objects of priority and fairness as they should be, and telling schemas that dangle.

Mandatory objects come back at once when somebody deletes or changes them, suggested ones as far as they follow
(`bootstrap.follows`). A schema's condition Dangling says whether its level exists. Whenever anything of the two resources
changes, the configuration in use changes with it, at once and before anybody is told of the change.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tiffin.apiserver.flowcontrol.bootstrap import AUTO_UPDATE, bootstrap_objects, follows
from tiffin.apiserver.flowcontrol.control import FlowControl
from tiffin.apiserver.local import LocalClient
from tiffin.apiserver.ports import Reader
from tiffin.client.client import PatchType
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, annotations_of, name_of
from tiffin.machinery.timestamps import format_time
from tiffin.store.mvcc import Event
from tiffin.store.store import Store

logger = logging.getLogger(__name__)
GROUP = "flowcontrol.apiserver.k8s.io"
SCHEMAS = Resource(GROUP, "v1", "flowschemas")
LEVELS = Resource(GROUP, "v1", "prioritylevelconfigurations")
RETRY_SECONDS = 1.0


class Keeper:
    """Holds stored configuration and the configuration in use together."""

    def __init__(self, control: FlowControl, store: Store, reader: Reader, client: LocalClient) -> None:
        self._control, self._store, self._reader, self._client = control, store, reader, client
        self._changed = asyncio.Event()

    def load(self) -> None:
        """Takes over what is stored and follows what comes after."""
        for resource in (SCHEMAS, LEVELS):
            self._store.watch(resource.group_resource, self._store.revision, self._seen)
        self._take_over()
        self._changed.set()

    def _seen(self, events: Sequence[Event]) -> None:
        self._take_over()
        self._changed.set()

    def _take_over(self) -> None:
        self._control.configure(self._reader.list(LEVELS), self._reader.list(SCHEMAS))

    async def run(self) -> None:
        """Mends what needs mending, after each change, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._mend()
            except ApiError as error:
                logger.info("priority and fairness: %s", error)
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._changed.set)

    async def _mend(self) -> None:
        wanted = {(_resource(obj), name_of(obj)): obj for obj in bootstrap_objects()}
        for (resource, name), obj in wanted.items():
            await self._keep(resource, self._reader.get(resource, "", name), obj)
        for resource in (SCHEMAS, LEVELS):
            for stored in list(self._reader.list(resource)):
                if (resource, name_of(stored)) not in wanted and annotations_of(stored).get(AUTO_UPDATE) == "true":
                    await self._client.delete(resource, "", name_of(stored))
        for schema in list(self._reader.list(SCHEMAS)):
            await self._tell(schema)

    async def _keep(self, resource: Resource, stored: Object | None, wanted: Object) -> None:
        if stored is None:
            await self._client.create(resource, "", {key: value for key, value in wanted.items() if key != "status"})
        elif follows(stored) and stored["spec"] != wanted["spec"] and name_of(stored) != "exempt":  # what that lends may be changed
            patch = [{"op": "replace", "path": "/spec", "value": wanted["spec"]}]
            await self._client.patch(resource, "", name_of(stored), patch, type=PatchType.JSON)

    async def _tell(self, schema: Object) -> None:
        level = schema["spec"]["priorityLevelConfiguration"]["name"]
        condition = dangling(level, self._reader.get(LEVELS, "", level) is not None)
        conditions: list[Any] = (schema.get("status") or {}).get("conditions") or []
        old: dict[str, Any] = next((c for c in conditions if c.get("type") == "Dangling"), {})
        if all(old.get(key) == value for key, value in condition.items()):
            return
        changed = old.get("status") != condition["status"] or not old.get("lastTransitionTime")
        condition["lastTransitionTime"] = format_time(datetime.now(UTC)) if changed else old["lastTransitionTime"]
        others = [c for c in conditions if c.get("type") != "Dangling"]
        await self._client.patch(
            SCHEMAS, "", name_of(schema), {"status": {"conditions": [*others, condition]}}, type=PatchType.MERGE, subresource="status")


def dangling(level: str, exists: bool) -> dict[str, str]:
    """The condition of a schema that names this level, without its time."""
    text = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" '
    if exists:
        return {"type": "Dangling", "status": "False", "reason": "Found", "message": f"{text}and it exists"}
    return {"type": "Dangling", "status": "True", "reason": "NotFound", "message": f"{text}but there is no such object"}


def _resource(obj: Object) -> Resource:
    return SCHEMAS if obj["kind"] == "FlowSchema" else LEVELS
