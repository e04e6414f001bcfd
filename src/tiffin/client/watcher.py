"""List, then watch: the state machine that keeps a copy of one resource true, and the small loop that drives it.

`step` is a pure function from a machine and a happening to the next machine and what to tell the listener; `TRANSITIONS`
shows every way between the phases. The loop only performs `Machine.request` and reports what happened.

Rules:
* A list is complete before any of it is told, so a listener never sees half a replacement.
* A watch goes on from the last revision seen, bookmarks included; only a 410 ("too old") starts again from a list.
* Every failure waits, longer each time, up to 30 s; one event or one full list forgets the failures.

Source: client-go's reflector for the times, kube-rs' watcher for the shape.
"""
from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, Protocol

from tiffin.client.client import Client, ObjectList, WatchEvent
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, meta

log = logging.getLogger(__name__)

PAGE_SIZE = 500
FIRST_WAIT, LONGEST_WAIT = 0.8, 30.0
"""Seconds of the first wait after a failure, and of the longest."""


class Phase(Enum):
    """What the machine wants next."""

    LISTING = "a page of the list"
    OPENING = "an open watch"
    WATCHING = "the next event of the watch"
    WAITING_TO_LIST = "time to pass before the list begins again"
    WAITING_TO_WATCH = "time to pass before the watch is opened again"


class Page(NamedTuple):
    page: ObjectList


class Opened(NamedTuple):
    pass


class Event(NamedTuple):
    event: WatchEvent


class Closed(NamedTuple):
    """The server ended the watch without an error."""


class Failed(NamedTuple):
    error: Exception


class Waited(NamedTuple):
    pass


Happening = Page | Opened | Event | Closed | Failed | Waited

TRANSITIONS: dict[tuple[Phase, type], tuple[Phase, ...]] = {
    (Phase.LISTING, Page): (Phase.LISTING, Phase.OPENING),
    (Phase.LISTING, Failed): (Phase.WAITING_TO_LIST,),
    (Phase.WAITING_TO_LIST, Waited): (Phase.LISTING,),
    (Phase.OPENING, Opened): (Phase.WATCHING,),
    (Phase.OPENING, Failed): (Phase.WAITING_TO_WATCH, Phase.WAITING_TO_LIST),
    (Phase.WATCHING, Event): (Phase.WATCHING,),
    (Phase.WATCHING, Closed): (Phase.OPENING, Phase.WAITING_TO_WATCH),
    (Phase.WATCHING, Failed): (Phase.WAITING_TO_WATCH, Phase.WAITING_TO_LIST),
    (Phase.WAITING_TO_WATCH, Waited): (Phase.OPENING,),
}
"""Where each happening may lead; `step` decides by the data, and anything not listed is a programming error."""


class Replaced(NamedTuple):
    """The whole truth as of a revision."""

    objects: Sequence[Object]
    resource_version: str


class Applied(NamedTuple):
    object: Object


class Removed(NamedTuple):
    object: Object


class Progressed(NamedTuple):
    """Nothing changed up to this revision."""

    resource_version: str


Delivery = Replaced | Applied | Removed | Progressed


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a list-then-watch stands."""

    phase: Phase = Phase.LISTING
    resource_version: str = ""
    pages: tuple[Object, ...] = ()
    continue_token: str = ""
    failures: int = 0
    quiet: bool = True
    """No event came since the watch was opened."""

    @property
    def wait(self) -> float:
        """Seconds to wait in a WAITING phase, before jitter."""
        return min(FIRST_WAIT * 2.0 ** (self.failures - 1), LONGEST_WAIT)


def step(machine: Machine, happening: Happening) -> tuple[Machine, Sequence[Delivery]]:
    """The machine after `happening`, and what the listener is to be told, in order."""
    following, deliveries = _decide(machine, happening)
    assert following.phase in TRANSITIONS.get((machine.phase, type(happening)), ()), f"{happening} while waiting for {machine.phase.value}"
    return following, deliveries


def _decide(machine: Machine, happening: Happening) -> tuple[Machine, Sequence[Delivery]]:
    match happening:
        case Page(page):
            return _paged(machine, page)
        case Opened():
            return replace(machine, phase=Phase.WATCHING, quiet=True), ()
        case Event(event):
            return _watched(machine, event)
        case Closed():
            # A watch that ends without a single event may be a server in trouble: do not hammer it.
            if machine.quiet:
                return replace(machine, phase=Phase.WAITING_TO_WATCH, failures=machine.failures + 1), ()
            return replace(machine, phase=Phase.OPENING), ()
        case Failed(error):
            return _failed(machine, error), ()
        case Waited():
            phase = Phase.LISTING if machine.phase is Phase.WAITING_TO_LIST else Phase.OPENING
            return replace(machine, phase=phase), ()


def _paged(machine: Machine, page: ObjectList) -> tuple[Machine, Sequence[Delivery]]:
    objects = (*machine.pages, *page.items)
    if page.continue_token:
        return replace(machine, pages=objects, continue_token=page.continue_token), ()
    return Machine(Phase.OPENING, page.resource_version), (Replaced(objects, page.resource_version),)


def _watched(machine: Machine, event: WatchEvent) -> tuple[Machine, Sequence[Delivery]]:
    version = meta(event.object).get("resourceVersion") or machine.resource_version
    following = replace(machine, resource_version=version, failures=0, quiet=False)
    match event.type:
        case "BOOKMARK":
            return following, (Progressed(version),)
        case "DELETED":
            return following, (Removed(event.object),)
        case _:
            return following, (Applied(event.object),)


def _failed(machine: Machine, error: Exception) -> Machine:
    failures = machine.failures + 1
    if machine.phase is Phase.LISTING or (isinstance(error, ApiError) and error.code == 410):
        return Machine(Phase.WAITING_TO_LIST, failures=failures)
    return replace(machine, phase=Phase.WAITING_TO_WATCH, failures=failures)


class Listener(Protocol):
    """Who is told what the watch delivers."""

    def deliver(self, delivery: Delivery) -> None: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a resource to follow."""

    resource: Resource
    namespace: str = ""
    labels: str = ""
    fields: str = ""


async def follow(client: Client, selection: Selection, listener: Listener, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Keep `listener` told about `selection` until cancelled. Errors of the server are logged and retried."""
    machine, watch = Machine(), None
    try:
        while True:
            happening, watch = await _perform(client, selection, machine, watch, sleep)
            if isinstance(happening, Failed):
                log.log(_severity(happening.error), "%s: waiting for %s: %s", selection.resource.group_resource, machine.phase.value, happening.error)
            machine, deliveries = step(machine, happening)
            for delivery in deliveries:
                listener.deliver(delivery)
    finally:
        await _close(watch)


async def _perform(
    client: Client, selection: Selection, machine: Machine, watch: AsyncIterator[WatchEvent] | None, sleep: Callable[[float], Awaitable[None]]
) -> tuple[Happening, AsyncIterator[WatchEvent] | None]:
    """Do what the machine's phase asks for; answers what happened and the watch that is open now."""
    resource, namespace, labels, fields = selection.resource, selection.namespace, selection.labels, selection.fields
    try:
        match machine.phase:
            case Phase.LISTING:
                page = await client.list(resource, namespace, labels=labels, fields=fields, limit=PAGE_SIZE, continue_token=machine.continue_token)
                return Page(page), None
            case Phase.OPENING:
                await _close(watch)
                return Opened(), client.watch(resource, namespace, labels=labels, fields=fields, resource_version=machine.resource_version)
            case Phase.WATCHING:
                assert watch is not None
                return Event(await anext(watch)), watch
            case _:
                await _close(watch)
                # Clients that failed together come back one by one.
                await sleep(machine.wait * (1 + random.random()))
                return Waited(), None
    except StopAsyncIteration:
        return Closed(), watch
    except (ApiError, OSError) as error:
        return Failed(error), watch


async def _close(watch: AsyncIterator[WatchEvent] | None) -> None:
    if watch is not None and hasattr(watch, "aclose"):
        await watch.aclose()


def _severity(error: Exception) -> int:
    """An expired watch is ordinary, the rest is worth a warning."""
    return logging.DEBUG if isinstance(error, ApiError) and error.code == 410 else logging.WARNING
