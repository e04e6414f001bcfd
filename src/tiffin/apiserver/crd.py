"""Serving custom resources: the registry follows the CustomResourceDefinitions.

A definition whose names are taken by no other is accepted: its conditions say so, and from the same moment its resources are
served. When its spec changes they are served by the new one at once. When a definition is deleted, its finalizer keeps it until its
objects are gone; no new ones are taken meanwhile.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import orjson

from tiffin.api.apiextensions.conditions import is_true, set_condition, settled_status
from tiffin.api.apiextensions.custom import schema_of, versions_of
from tiffin.apiserver.context import Query, RequestContext, RequestInfo
from tiffin.apiserver.conversion import WebhookConverter
from tiffin.apiserver.deletion import DeleteOptions
from tiffin.apiserver.registry import Registry, Served
from tiffin.apiserver.storedform import Family, StoredForm
from tiffin.apiserver.user import AUTHENTICATED, MASTERS, User
from tiffin.apiserver.webhooks.client import WebhookClient
from tiffin.apiserver.writes import Writes
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key, Object, is_deleting
from tiffin.machinery.structural import custom_type
from tiffin.machinery.timestamps import format_time
from tiffin.store.mvcc import Entry, Event, EventType
from tiffin.store.store import Mismatch, Store, Write

logger = logging.getLogger(__name__)
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
ANYTHING = custom_type(None, "Anything")
SERVER = User("system:apiserver", groups=(MASTERS, AUTHENTICATED))


class CustomResources:
    """Keeps registry and definitions in step."""

    def __init__(self, registry: Registry, writes: Writes, store: Store, webhooks: WebhookClient) -> None:
        self.registry, self.writes, self.store, self.webhooks = registry, writes, store, webhooks
        served = registry.stored(CRDS)
        assert served is not None
        self.crds: Served = served
        self._changed: asyncio.Queue[Key] = asyncio.Queue()
        self._specs: dict[str, str] = {}
        """What is served: uid and generation of each definition."""

    def load(self) -> None:
        """Serves the stored definitions and follows what comes after."""
        for entry in self.store.entries(CRDS):
            self._follow(entry, entry.revision)
        self.store.watch(CRDS, self.store.revision, self._seen)

    def _seen(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.type is EventType.DELETED:
                self.registry.remove(event.entry.key.name)
                self._specs.pop(event.entry.key.name, None)
            else:
                self._follow(event.entry, self.store.revision)

    def _follow(self, entry: Entry, revision: int) -> None:
        """Serves what a definition says, and has its status looked at."""
        crd = entry.object
        if is_true(crd, "Established"):
            self._serve(crd, revision)
        self._changed.put_nowait(entry.key)

    def _serve(self, crd: Object, revision: int) -> None:
        name, spec = crd["metadata"]["name"], f"{crd['metadata']['uid']}/{crd['metadata'].get('generation') or 0}"
        if self._specs.get(name) != spec:
            self.registry.remove(name)
            self._specs[name] = spec
            self._serve_versions(crd, revision)
        if is_deleting(crd):
            self.registry.close(name)

    def _serve_versions(self, crd: Object, revision: int) -> None:
        key = Key("", crd["metadata"]["name"])
        versions = versions_of(crd, lambda version: self._schema(key, version))
        stored = next((version for version in versions if version.stored), None)
        if stored is None or not any(version.served for version in versions):
            return
        conversion = crd["spec"].get("conversion") or {}
        convert = WebhookConverter(self.webhooks, conversion).convert if conversion.get("strategy") == "Webhook" else None
        family = Family({v.kind.api_version: v.structure for v in versions}, stored.kind.api_version, revision, self._specs[key.name], convert)
        made = {v.kind.version: Served(v.kind, None, form=StoredForm(family, v.kind.api_version)) for v in versions}
        self.registry.add_custom(made[stored.kind.version], [made[v.kind.version] for v in versions if v.served])

    def _schema(self, key: Key, version: str) -> Object | None:
        """The schema of a version, from the definition as it is stored."""
        entry = self.store.get(CRDS, key)
        return schema_of(orjson.loads(entry.data), version) if entry is not None else None

    async def run(self) -> None:
        """Accepts names, and clears away what deleted definitions leave, for ever."""
        while True:
            key = await self._changed.get()
            entry = self.store.get(CRDS, key)
            if entry is None:
                continue
            try:
                await self._settle(key, entry.object)
            except ApiError as error:
                logger.info("custom resource definition %s: %s", key.name, error)
                if error.code == 409:
                    self._changed.put_nowait(key)
            except Exception:  # one definition that cannot be understood does not keep the others from being served
                logger.exception("custom resource definition %s", key.name)

    async def _settle(self, key: Key, crd: Object) -> None:
        if is_deleting(crd):
            if CLEANUP in (crd["metadata"].get("finalizers") or ()):
                await self._clear(key, crd)
            return
        status = settled_status(crd, (entry.object for entry in self.store.entries(CRDS)), format_time(datetime.now(UTC)))
        if status != crd.get("status"):
            await self._update_status(key, lambda new: new.__setitem__("status", status))
            self._reconsider(key, crd)

    def _reconsider(self, key: Key, crd: Object) -> None:
        """Looks again at those of the group that wait for a name."""
        for entry in self.store.entries(CRDS):
            other = entry.object
            if entry.key != key and other["spec"]["group"] == crd["spec"]["group"] and not is_true(other, "NamesAccepted"):
                self._changed.put_nowait(entry.key)

    async def _update_status(self, key: Key, change: Callable[[Object], None]) -> None:
        def transform(old: Object) -> Object:
            new: Object = orjson.loads(orjson.dumps(old))
            change(new)
            return new

        await self.writes.update(_context(), self.crds, key, transform, subresource=self.crds.kind.subresource_by_name["status"], attempts=1)

    # deletion

    async def _clear(self, key: Key, crd: Object) -> None:
        """Deletes the objects of a definition that goes; the last one gone, the finalizer goes too."""
        name = crd["metadata"]["name"]
        if self.store.index.count(name) and not _says_deleting(crd):
            await self._update_status(key, _begin_deletion)
            return  # and again, when this change is seen
        served = self.registry.stored(name)
        for entry in list(self.store.entries(name)):
            if served is not None:
                await self._delete_object(served, entry)
        if self.store.index.count(name):
            self._watch_last(name, key)
        else:
            await self._release(key)

    async def _delete_object(self, served: Served, entry: Entry) -> None:
        try:
            await self.writes.delete(_context(), _as_stored(served), entry.key, DeleteOptions())
        except ApiError as error:
            if error.code != 404:
                raise

    async def _release(self, key: Key) -> None:
        """Takes our finalizer off, and with the last one the definition itself. Nothing else changes, so nothing is validated:
        a definition that could not be written again can still go."""
        entry = self.store.newest(CRDS, key)
        if entry is None:
            return
        new: Object = orjson.loads(entry.data)
        left = [f for f in new["metadata"].get("finalizers") or () if f != CLEANUP]
        new["metadata"]["finalizers"] = left
        try:
            await self.store.commit(Write(CRDS, key, new if left else None, entry.revision))
        except Mismatch:
            self._changed.put_nowait(key)
            return
        self._reconsider(key, new)

    def _watch_last(self, name: str, key: Key) -> None:
        """Looks again when the last object has gone."""

        def sink(events: Sequence[Event]) -> None:
            if not self.store.index.count(name):
                stop()
                self._changed.put_nowait(key)

        stop = self.store.watch(name, self.store.revision, sink)


def _as_stored(served: Served) -> Served:
    """The resource without conversion: what only goes need not be understood."""
    return Served(served.kind, None, ANYTHING)


def _says_deleting(crd: Object) -> bool:
    return any(c.get("reason") == "InstanceDeletionInProgress" for c in crd["status"].get("conditions") or ())


def _begin_deletion(new: Object) -> None:
    conditions = new["status"].setdefault("conditions", [])
    set_condition(
        conditions, "Terminating", "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress", format_time(datetime.now(UTC)))


def _context() -> RequestContext:
    return RequestContext(RequestInfo("update", "", True), Query({}), {"user-agent": "kube-apiserver"}, SERVER)
