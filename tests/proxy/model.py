"""A make-believe nft: it keeps what transactions in our own words make of the tables, as strictly as the kernel where it matters.

What is deleted must be there, what is added must not be there in another form, what is referred to must exist and cannot be
deleted. A transaction that breaks a rule changes nothing.
"""
from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import Any

from tiffin.proxy.nftables import NftError
from tiffin.proxy.skeleton import TABLE

_REFERENCE = re.compile(r"(?:goto|jump) ([\w-]+)|@([\w-]+)")


@dataclass
class Table:
    """One family's table."""

    sets: dict[str, str] = field(default_factory=dict)
    elements: dict[str, dict[str, str]] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=dict)

    def references(self) -> set[str]:
        """Names of chains and sets that rules and verdicts refer to."""
        texts = [rule for rules in self.chains.values() for rule in rules] + [value for each in self.elements.values() for value in each.values()]
        return {name for text in texts for match in _REFERENCE.findall(text) for name in match if name}


class Model:
    """All tables; the proxy's `Tables`. `faults` are raised by the next runs, one each."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.faults: list[Exception] = []
        self.transactions: list[str] = []
        self.others = 0
        """Transactions of somebody else, which the generation counts with ours."""

    async def run(self, text: str) -> None:
        self.apply(text)

    async def listing(self, family: str) -> list[dict[str, Any]] | None:
        table = self.tables.get(family)
        return None if table is None else list(_listed(table))

    def generation(self) -> int:
        return self.others + len(self.transactions)

    def apply(self, text: str) -> None:
        if self.faults:
            raise self.faults.pop(0)
        before = copy.deepcopy(self.tables)
        try:
            self._apply(text)
        except NftError:
            self.tables = before
            raise
        self.transactions.append(text)

    def _apply(self, text: str) -> None:
        lines = iter(text.splitlines())
        for line in lines:
            words = line.split(None, 5)
            match words:
                case []:
                    pass
                case ["table", family, name, *rest]:
                    assert name == TABLE
                    self.tables.setdefault(family, Table())
                    if rest == ["{"]:
                        _declare(self.tables[family], lines)
                case ["delete", "table", family, _]:
                    del self.tables[family]
                case [verb, kind, family, _, name, *rest]:
                    _change(self.tables[family], verb, kind, name, rest[0] if rest else "")
                case _:
                    raise AssertionError(f"not understood: {line}")
        for table in self.tables.values():
            _require(not (missing := table.references() - table.chains.keys() - table.sets.keys()), f"No such file or directory: {missing}")


def _declare(table: Table, lines: Any) -> None:
    """The body of a table, as the skeleton writes it."""
    chain = ""
    for line in map(str.strip, lines):
        if chain:
            if line == "}":
                chain = ""
            elif not line.startswith("type "):
                table.chains[chain].append(line)
        elif line == "}":
            return
        elif line.startswith("chain "):
            name = line.split()[1]
            table.chains[name] = []
            chain = "" if line.endswith("}") else name
        elif line:
            name = line.split()[1]
            table.sets[name], table.elements[name] = line.partition("{")[2].rpartition("}")[0].strip(), {}


def _change(table: Table, verb: str, kind: str, name: str, rest: str) -> None:
    match verb, kind:
        case "add", "set" | "map":
            _require(name not in table.sets, f"File exists: {name}")
            table.sets[name], table.elements[name] = rest.strip("{ }"), {}
        case "delete", "set" | "map":
            _require(name in table.sets, f"No such file or directory: {name}")
            _require(name not in table.references(), f"Device or resource busy: {name}")
            del table.sets[name], table.elements[name]
        case "add", "chain":
            table.chains.setdefault(name, [])
        case "flush", "chain":
            table.chains[name].clear()
        case "delete", "chain":
            _require(name not in table.references(), f"Device or resource busy: {name}")
            del table.chains[name]
        case "add", "rule":
            table.chains[name].append(rest)
        case "add" | "delete", "element":
            for entry in rest.removeprefix("{ ").removesuffix(" }").split(", "):
                _change_element(table.elements[name], verb, *entry.partition(" : ")[::2])
        case _:
            raise AssertionError(f"not understood: {verb} {kind}")


def _change_element(elements: dict[str, str], verb: str, key: str, value: str) -> None:
    if verb == "delete":
        _require(key in elements, f"No such file or directory: {key}")
        del elements[key]
    else:
        _require(elements.get(key, value) == value, f"File exists: {key}")
        elements[key] = value


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise NftError(message)


def _listed(table: Table) -> Any:
    """As nft's JSON lists it, as far as the proxy reads it."""
    for name, declaration in table.sets.items():
        is_map = ":" in declaration
        listed: dict[str, Any] = {"name": name, "flags": ["dynamic"] if "dynamic" in declaration else [], "elem": []}
        for key, value in table.elements[name].items():
            listed["elem"].append([key, _value(value)] if is_map else key)
        yield {"map" if is_map else "set": listed | ({"map": "verdict"} if is_map else {})}
    for name, rules in table.chains.items():
        yield {"chain": {"name": name}}
        yield from ({"rule": {"chain": name}} for _ in rules)


def _value(value: str) -> Any:
    if value.startswith("goto "):
        return {"goto": {"target": value.removeprefix("goto ")}}
    return {"drop": None} if value == "drop" else value
