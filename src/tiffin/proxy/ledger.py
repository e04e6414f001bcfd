"""Who needs which item of the table, and what has to change in it.

* An item is a map or set element, a chain, or a set. Its content is text: an element's value, a chain's rules by lines, a set's
  declaration. Content says everything: two items with equal content are equal in the kernel.
* Several owners may claim one item. The lowest (rank, owner) decides its content; it goes when its last owner leaves.
* `take` gives the difference since the last `take`, so what changed and changed back costs nothing.
"""
from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ELEMENT, CHAIN, SET = "element", "chain", "set"

Rank = tuple[Any, ...]
Items = Mapping["Item", str]


class Item(NamedTuple):
    """One thing in the table `tiffin` of a family (`ip`, `ip6`): `name` is the chain's or set's, `key` an element's."""

    kind: str
    family: str
    name: str
    key: str = ""


def element(family: str, name: str, key: str) -> Item:
    return Item(ELEMENT, family, name, key)


def chain(family: str, name: str) -> Item:
    return Item(CHAIN, family, name)


def declared_set(family: str, name: str) -> Item:
    return Item(SET, family, name)


@dataclass(frozen=True)
class Changes:
    """What to do: `removed` and `changed` items with the content that goes, `added` and `changed` with the one that comes."""

    removed: dict[Item, str] = field(default_factory=dict)
    added: dict[Item, str] = field(default_factory=dict)
    changed: dict[Item, tuple[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.changed)


class _Claim(NamedTuple):
    rank: Rank
    owner: Hashable
    content: str


class Ledger:
    """All claims, and what of them is new since `take`."""

    def __init__(self) -> None:
        self._owned: dict[Hashable, Items] = {}
        self._ranks: dict[Hashable, Rank] = {}
        self._first: dict[Item, _Claim] = {}
        self._others: dict[Item, dict[Hashable, _Claim]] = {}
        self._before: dict[Item, str | None] = {}

    def replace(self, owner: Hashable, items: Items, rank: Rank = ()) -> None:
        """From now on the owner claims exactly these items."""
        old, old_rank = self._owned.get(owner, {}), self._ranks.get(owner, ())
        moved = rank != old_rank
        for item in old:
            if moved or items.get(item) != old[item]:
                self._withdraw(owner, item)
        for item, content in items.items():
            if moved or old.get(item) != content:
                self._claim(item, _Claim(rank, owner, content))
        if items:
            self._owned[owner], self._ranks[owner] = items, rank
        else:
            self._owned.pop(owner, None)
            self._ranks.pop(owner, None)

    def owners(self) -> Iterator[Hashable]:
        return iter(tuple(self._owned))

    def contents(self) -> dict[Item, str]:
        """Every item that should be there."""
        return {item: claim.content for item, claim in self._first.items()}

    def content(self, item: Item) -> str | None:
        claim = self._first.get(item)
        return claim.content if claim else None

    def take(self) -> Changes:
        """What has changed since the last time."""
        changes = Changes()
        for item, old in self._before.items():
            new = self.content(item)
            if old is None and new is not None:
                changes.added[item] = new
            elif old is not None and new is None:
                changes.removed[item] = old
            elif old is not None and new is not None and new != old:
                changes.changed[item] = (old, new)
        self._before.clear()
        return changes

    def _claim(self, item: Item, claim: _Claim) -> None:
        first = self._first.get(item)
        if first is not None and first[:2] <= claim[:2]:
            self._others.setdefault(item, {})[claim.owner] = claim
            return
        self._note(item)
        self._first[item] = claim
        if first is not None:
            self._others.setdefault(item, {})[first.owner] = first

    def _withdraw(self, owner: Hashable, item: Item) -> None:
        others = self._others.get(item, {})
        if self._first[item].owner != owner:
            del others[owner]
        elif others:
            self._note(item)
            next_one = min(others.values(), key=lambda claim: claim[:2])
            self._first[item] = others.pop(next_one.owner)
        else:
            self._note(item)
            del self._first[item]
        if not others:
            self._others.pop(item, None)

    def _note(self, item: Item) -> None:
        self._before.setdefault(item, self.content(item))


def difference(actual: Items, wanted: Items) -> Changes:
    """What turns `actual` into `wanted`."""
    changes = Changes()
    for item, content in wanted.items():
        old = actual.get(item)
        if old is None:
            changes.added[item] = content
        elif old != content:
            changes.changed[item] = (old, content)
    changes.removed.update((item, content) for item, content in actual.items() if item not in wanted)
    return changes
