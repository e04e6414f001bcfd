"""The list-then-watch machine, as scripts of happenings, and its loop against the make-believe server."""
from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.client.client import ObjectList, WatchEvent
from tiffin.client.watcher import (
    TRANSITIONS,
    Applied,
    Closed,
    Event,
    Failed,
    Machine,
    Opened,
    Page,
    Phase,
    Progressed,
    Removed,
    Replaced,
    Waited,
    step,
)
from tiffin.machinery.errors import expired, too_many_requests


def obj(name: str, version: int) -> dict:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


A1, A5 = obj("a", 1), obj("a", 5)
LISTED = Page(ObjectList([A1], "3"))

SCRIPTS = {
    "list then watch": (
        [LISTED, Opened(), Event(WatchEvent("MODIFIED", A5))],
        Phase.WATCHING, "5", [Replaced((A1,), "3"), Applied(A5)],
    ),
    "pages are told as one": (
        [Page(ObjectList([A1], "3", "more")), Page(ObjectList([obj("b", 2)], "3"))],
        Phase.OPENING, "3", [Replaced((A1, obj("b", 2)), "3")],
    ),
    "a failed page begins the list again": (
        [Page(ObjectList([A1], "3", "more")), Failed(expired("old")), Waited(), LISTED],
        Phase.OPENING, "3", [Replaced((A1,), "3")],
    ),
    "a bookmark moves the revision": (
        [LISTED, Opened(), Event(WatchEvent("BOOKMARK", obj("", 9))), Closed()],
        Phase.OPENING, "9", [Replaced((A1,), "3"), Progressed("9")],
    ),
    "a closed watch resumes": (
        [LISTED, Opened(), Event(WatchEvent("DELETED", A5)), Closed(), Opened()],
        Phase.WATCHING, "5", [Replaced((A1,), "3"), Removed(A5)],
    ),
    "a silent watch that closes waits": ([LISTED, Opened(), Closed()], Phase.WAITING_TO_WATCH, "3", [Replaced((A1,), "3")]),
    "an error of the watch resumes after a while": (
        [LISTED, Opened(), Failed(too_many_requests("busy")), Waited(), Opened()],
        Phase.WATCHING, "3", [Replaced((A1,), "3")],
    ),
    "a revision too old begins again": (
        [LISTED, Opened(), Failed(expired("too old")), Waited(), Page(ObjectList([A5], "7"))],
        Phase.OPENING, "7", [Replaced((A1,), "3"), Replaced((A5,), "7")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts(script: str) -> None:
    happenings, phase, version, told = SCRIPTS[script]
    machine, deliveries = Machine(), []
    for happening in happenings:
        machine, more = step(machine, happening)
        deliveries += more
    assert (machine.phase, machine.resource_version, deliveries) == (phase, version, told)


def test_waits_grow_and_are_forgotten() -> None:
    machine, waits = Machine(), []
    for _ in range(8):
        machine, _ = step(machine, Failed(OSError("no route")))
        waits.append(machine.wait)
        machine, _ = step(machine, Waited())
    assert waits == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    machine, _ = step(machine, LISTED)
    assert machine.failures == 0


HAPPENINGS = {
    Page: LISTED, Opened: Opened(), Event: Event(WatchEvent("ADDED", A5)), Closed: Closed(), Failed: Failed(OSError("reset")), Waited: Waited(),
}  # fmt: skip


@given(st.lists(st.integers(0, 10), max_size=60))
def test_any_walk_through_the_table_stays_in_it(choices: list[int]) -> None:
    machine = Machine()
    for choice in choices:
        possible = [kind for phase, kind in TRANSITIONS if phase is machine.phase]
        machine, _ = step(machine, HAPPENINGS[possible[choice % len(possible)]])


async def test_a_happening_out_of_place_is_a_fault() -> None:
    with pytest.raises(AssertionError):
        step(Machine(), Opened())
    await asyncio.sleep(0)
