"""Recording Events: never in the caller's way, counted instead of repeated, and bounded for those who say too much.

Rules (client-go's event correlator):
* An event equal to an earlier one raises that one's `count` and `lastTimestamp`.
* More than ten events within ten minutes that differ only in their message become one, "(combined from similar events): …".
* Each source may say 25 events about an object at once and one more every five minutes; the rest is dropped.
* At most 4,096 of each are remembered, the longest unused are forgotten. At most 1,000 wait to be written, newer ones are dropped.

Decisions are made when the event is recorded, by `Correlator`, which does no IO; a task writes them in order.
"""
from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from tiffin.client.client import Client
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key, Object, Resource, meta
from tiffin.machinery.timestamps import format_time
from tiffin.runtime.clock import Clock

log = logging.getLogger(__name__)

EVENTS = Resource("", "v1", "events")

SIMILAR_LIMIT, SIMILAR_WINDOW = 10, 600.0
BURST, SECONDS_PER_EVENT = 25, 300.0
REMEMBERED, WAITING = 4096, 1000

V = TypeVar("V")


class Recent(Generic[V]):
    """A dictionary that forgets what was unused for longest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Any, V] = OrderedDict()

    def get(self, key: Any, default: Callable[[], V]) -> V:
        """The entry of `key`, made by `default` where there is none."""
        if key not in self._entries:
            self._entries[key] = default()
            if len(self._entries) > self._limit:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        return self._entries[key]


@dataclass(slots=True)
class Allowance:
    """A token bucket: how much more a source may say about an object."""

    tokens: float
    filled: datetime


@dataclass(slots=True)
class Similar:
    """Events that differ only in their message."""

    messages: set[str] = field(default_factory=set)
    last: datetime | None = None


@dataclass(slots=True)
class Logged:
    """An event in the server, or about to be: where it is and how often it was seen."""

    key: Key | None = None
    count: int = 0
    first: str = ""


class Decision(NamedTuple):
    """What to write: a new event, or with `patch` a higher count of one that exists."""

    event: Object
    patch: Object | None
    logged: Logged


class Correlator:
    """Decides what becomes of an event; see the module's rules."""

    def __init__(self) -> None:
        self._allowances: Recent[Allowance] = Recent(REMEMBERED)
        self._similar: Recent[Similar] = Recent(REMEMBERED)
        self._logged: Recent[Logged] = Recent(REMEMBERED)

    def decide(self, event: Object, now: datetime) -> Decision | None:
        """What to write for `event`, None when its source has said too much."""
        if not self._allowed(event, now):
            return None
        event, identity = self._aggregated(event, now)
        logged = self._logged.get(identity, Logged)
        logged.count += 1
        logged.first = logged.first or event["firstTimestamp"]
        event = event | {"count": logged.count, "firstTimestamp": logged.first}
        if logged.key is None:
            logged.key = Key(event["metadata"]["namespace"], event["metadata"]["name"])
            return Decision(event, None, logged)
        event = event | {"metadata": {"namespace": logged.key.namespace, "name": logged.key.name}}
        patch = {name: event[name] for name in ("count", "lastTimestamp", "message")}
        return Decision(event, patch, logged)

    def _allowed(self, event: Object, now: datetime) -> bool:
        allowance = self._allowances.get((_source(event), _subject(event)), lambda: Allowance(BURST, now))
        allowance.tokens = min(BURST, allowance.tokens + (now - allowance.filled).total_seconds() / SECONDS_PER_EVENT)
        allowance.filled = now
        if allowance.tokens < 1:
            return False
        allowance.tokens -= 1
        return True

    def _aggregated(self, event: Object, now: datetime) -> tuple[Object, Any]:
        """The event, combined with its like where there are many, and what makes it the same as another."""
        kind = (_source(event), _subject(event), event["type"], event["reason"], event.get("action", ""))
        similar = self._similar.get(kind, Similar)
        if similar.last is None or (now - similar.last).total_seconds() > SIMILAR_WINDOW:
            similar.messages = set()
        similar.last = now
        similar.messages.add(event["message"])
        if len(similar.messages) < SIMILAR_LIMIT:
            return event, (*kind, event["message"])
        similar.messages.pop()
        return event | {"message": f"(combined from similar events): {event['message']}"}, kind


def _source(event: Object) -> tuple[str, str]:
    return event["source"].get("component", ""), event["source"].get("host", "")


def _subject(event: Object) -> tuple[str, ...]:
    involved = event["involvedObject"]
    return tuple(involved.get(name, "") for name in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath"))


class EventRecorder:
    """Records events of one source. `event` returns at once; `run` writes until cancelled."""

    def __init__(self, client: Client, clock: Clock, component: str, host: str = "") -> None:
        self._client, self._clock = client, clock
        self._source = {"component": component} | ({"host": host} if host else {})
        self._correlator = Correlator()
        self._waiting: deque[Decision] = deque()
        self._arrived = asyncio.Event()
        self._serial = 0

    def event(self, obj: Object, type: str, reason: str, message: str, action: str = "", *, field_path: str = "") -> None:
        """Record an event about `obj`, or about the part of it at `field_path` ("spec.containers{web}")."""
        now = self._clock.now()
        decision = self._correlator.decide(self._made(obj, type, reason, message, action, field_path, now), now)
        if decision and len(self._waiting) < WAITING:
            self._waiting.append(decision)
            self._arrived.set()

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            while self._waiting:
                await self._write(self._waiting.popleft())
            self._arrived.clear()

    def _made(self, obj: Object, type: str, reason: str, message: str, action: str, field_path: str, now: datetime) -> Object:
        involved = reference(obj) | ({"fieldPath": field_path} if field_path else {})
        namespace = involved.get("namespace") or "default"
        time = format_time(now)
        self._serial += 1
        unique = int(now.timestamp() * 1_000_000) * 1000 + self._serial % 1000
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{involved.get('name', '')}.{unique:x}", "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message[:1024],
            "source": self._source,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        } | ({"action": action} if action else {})

    async def _write(self, decision: Decision) -> None:
        """Write one decision. An event is worth one more try after a lost connection, and no more: it only tells."""
        try:
            if decision.patch is None or not await self._counted(decision.event, decision.patch):
                await self._client.create(EVENTS, decision.event["metadata"]["namespace"], decision.event)
        except (ApiError, OSError) as error:
            going = isinstance(error, ApiError) and error.code in (403, 404)
            log.log(logging.DEBUG if going else logging.WARNING, "event %s not recorded: %s", decision.event["reason"], error)
            decision.logged.key = None

    async def _counted(self, event: Object, patch: Object) -> bool:
        """Raise the count of an event that exists; False when it has expired meanwhile."""
        try:
            await self._client.patch(EVENTS, event["metadata"]["namespace"], event["metadata"]["name"], patch)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True


def reference(obj: Object) -> Object:
    """The ObjectReference of an object, without what it does not have."""
    m = meta(obj)
    given = {
        "kind": obj.get("kind"),
        "namespace": m.get("namespace"),
        "name": m.get("name"),
        "uid": m.get("uid"),
        "apiVersion": obj.get("apiVersion"),
        "resourceVersion": m.get("resourceVersion"),
    }
    return {name: value for name, value in given.items() if value}
