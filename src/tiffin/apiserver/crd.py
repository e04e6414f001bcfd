"""Serving custom resources: the registry follows the CustomResourceDefinitions.

A definition whose names are taken by no other is accepted: its conditions say so, and from the same moment its resources are
served. When a definition is deleted, its finalizer keeps it until its objects are gone; no new ones are taken meanwhile.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from tiffin.api.apiextensions.custom import kind_of
from tiffin.apiserver.context import Query, RequestContext, RequestInfo
from tiffin.apiserver.deletion import DeleteOptions
from tiffin.apiserver.registry import Registry, Served
from tiffin.apiserver.user import AUTHENTICATED, MASTERS, User
from tiffin.apiserver.writes import Writes
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key, Object, is_deleting
from tiffin.machinery.timestamps import format_time
from tiffin.store.mvcc import Event, EventType
from tiffin.store.store import Mismatch, Store, Write

logger = logging.getLogger(__name__)
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
SERVER = User("system:apiserver", groups=(MASTERS, AUTHENTICATED))


class CustomResources:
    """Keeps registry and definitions in step."""

    def __init__(self, registry: Registry, writes: Writes, store: Store) -> None:
        self.registry, self.writes, self.store = registry, writes, store
        served = registry.stored(CRDS)
        assert served is not None
        self.crds: Served = served
        self._changed: asyncio.Queue[Key] = asyncio.Queue()

    def load(self) -> None:
        """Serves the stored definitions and follows what comes after."""
        for entry in self.store.entries(CRDS):
            if _condition(entry.object, "Established"):
                self._serve(entry.object)
            self._changed.put_nowait(entry.key)
        self.store.watch(CRDS, self.store.revision, self._seen)

    def _seen(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.type is EventType.DELETED:
                self.registry.remove(event.entry.key.name)
            else:
                if _condition(event.entry.object, "Established"):
                    self._serve(event.entry.object)
                self._changed.put_nowait(event.entry.key)

    def _serve(self, crd: Object) -> None:
        made = kind_of(crd)
        self.registry.remove(crd["metadata"]["name"])
        if made is not None:
            kind, types, served = made
            self.registry.add(kind, types, served)

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
        status = self._status(crd)
        if status != crd.get("status"):
            await self._update(key, lambda new: new.__setitem__("status", status), "status")

    async def _update(self, key: Key, change: Any, subresource: str = "") -> None:
        def transform(old: Object) -> Object:
            new: Object = orjson.loads(orjson.dumps(old))
            change(new)
            return new

        sub = self.crds.kind.subresource_by_name.get(subresource)
        await self.writes.update(_context(), self.crds, key, transform, subresource=sub, attempts=1)

    def _status(self, crd: Object) -> Object:
        """The status of an accepted definition, or of one whose names another one has."""
        names, status = crd["spec"]["names"], dict(crd.get("status") or {})
        now = format_time(datetime.now(UTC))
        clash = self._clash(crd)
        conditions = list(status.get("conditions") or ())
        if clash:
            _set(conditions, "NamesAccepted", "False", clash[0], clash[1], now)
            if not _condition(crd, "Established"):
                _set(conditions, "Established", "False", "NotAccepted", "not all names are accepted", now)
        else:
            _set(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
            _set(conditions, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now)
            status["acceptedNames"] = names
        status["conditions"] = conditions
        status.setdefault("acceptedNames", {"plural": "", "kind": ""})
        storage = [v["name"] for v in crd["spec"]["versions"] if v.get("storage")]
        status["storedVersions"] = list(dict.fromkeys([*(status.get("storedVersions") or ()), *storage]))
        return status

    def _clash(self, crd: Object) -> tuple[str, str] | None:
        """Reason and message when another definition of the group holds one of the names."""
        spec, own = crd["spec"], crd["metadata"]["name"]
        for entry in self.store.entries(CRDS):
            other = entry.object
            accepted = (other.get("status") or {}).get("acceptedNames") or {}
            if other["metadata"]["name"] == own or other["spec"]["group"] != spec["group"] or not accepted:
                continue
            names = {accepted.get("plural"), accepted.get("singular"), *(accepted.get("shortNames") or ())}
            wanted = spec["names"]
            for field, reason in (("plural", "PluralConflict"), ("singular", "SingularConflict")):
                if wanted.get(field) and wanted[field] in names:
                    return reason, f'"{wanted[field]}" is already in use'
            for short in wanted.get("shortNames") or ():
                if short in names:
                    return "ShortNamesConflict", f'"{short}" is already in use'
            for field, reason in (("kind", "KindConflict"), ("listKind", "ListKindConflict")):
                if wanted.get(field) and wanted[field] in (accepted.get("kind"), accepted.get("listKind")):
                    return reason, f'"{wanted[field]}" is already in use'
        return None

    async def _clear(self, key: Key, crd: Object) -> None:
        """Deletes the objects of a definition that goes; the last one gone, the finalizer goes too."""
        name = crd["metadata"]["name"]
        served = self.registry.stored(name)
        for entry in list(self.store.entries(name)):
            if served is not None:
                try:
                    await self.writes.delete(_context(), served, entry.key, DeleteOptions())
                except ApiError as error:
                    if error.code != 404:
                        raise
        left = self.store.index.count(name)
        if left:
            self._watch_last(name, key)
            return

        await self._release(key)

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

    def _watch_last(self, name: str, key: Key) -> None:
        """Looks again when the last object has gone."""

        def sink(events: Sequence[Event]) -> None:
            if not self.store.index.count(name):
                stop()
                self._changed.put_nowait(key)

        stop = self.store.watch(name, self.store.revision, sink)


def _context() -> RequestContext:
    return RequestContext(RequestInfo("update", "", True), Query({}), {"user-agent": "kube-apiserver"}, SERVER)


def _condition(crd: Object, type: str) -> bool:
    return any(c["type"] == type and c["status"] == "True" for c in (crd.get("status") or {}).get("conditions") or ())


def _set(conditions: list[Object], type: str, status: str, reason: str, message: str, now: str) -> None:
    condition: Object = {"type": type, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}
    for index, old in enumerate(conditions):
        if old["type"] == type:
            if old["status"] == status:
                condition["lastTransitionTime"] = old["lastTransitionTime"]
            conditions[index] = condition
            return
    conditions.append(condition)
