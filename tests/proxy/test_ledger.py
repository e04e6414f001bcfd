"""Who claims what."""
from __future__ import annotations

from tiffin.proxy.ledger import Changes, Ledger, element

A, B = element("ip", "services", "a"), element("ip", "services", "b")


def test_items_come_change_and_go() -> None:
    ledger = Ledger()
    ledger.replace("one", {A: "1", B: "2"})
    assert ledger.take() == Changes(added={A: "1", B: "2"})
    ledger.replace("one", {A: "3"})
    assert ledger.take() == Changes(removed={B: "2"}, changed={A: ("1", "3")})
    ledger.replace("one", {})
    assert ledger.take() == Changes(removed={A: "3"}) and not list(ledger.owners())


def test_what_changes_back_costs_nothing() -> None:
    ledger = Ledger()
    ledger.replace("one", {A: "1"})
    ledger.take()
    ledger.replace("one", {A: "2"})
    ledger.replace("one", {A: "1"})
    assert not ledger.take()


def test_an_item_of_several_owners_goes_with_the_last() -> None:
    ledger = Ledger()
    for owner in ("one", "two", "three"):
        ledger.replace(owner, {A: "x"})
    ledger.take()
    for owner in ("two", "one"):
        ledger.replace(owner, {})
        assert not ledger.take()
    ledger.replace("three", {})
    assert ledger.take() == Changes(removed={A: "x"})


def test_the_lowest_rank_decides() -> None:
    ledger = Ledger()
    ledger.replace("late", {A: "late"}, (2,))
    ledger.replace("early", {A: "early"}, (1,))
    assert ledger.take().added == {A: "early"}
    ledger.replace("late", {A: "late"}, (0,))
    assert ledger.take().changed == {A: ("early", "late")}
    ledger.replace("late", {})
    assert ledger.take().changed == {A: ("late", "early")}
