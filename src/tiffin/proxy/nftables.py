"""The table as nft reads and writes it: changes become one transaction, and what is there becomes items again.

In a transaction what is referred to comes first: sets and chains, then elements that go, rules, elements that come, and at last
chains and sets that nobody needs any more. The kernel takes all of it or nothing.
"""
from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import orjson

from tiffin.proxy.ledger import CHAIN, ELEMENT, SET, Changes, Item, chain, declared_set, element
from tiffin.proxy.skeleton import FAMILIES, SETS, TABLE, edition, skeleton

_TIMEOUT = 60.0
#: linux/netfilter/nfnetlink.h and nf_tables.h
_NETLINK_NETFILTER, _REQUEST = 12, 1
_NEW_GENERATION, _GET_GENERATION = 0xA0F, 0xA10
_NO_TABLE = "No such file or directory"


class NftError(Exception):
    """nft refused; nothing was changed. The message is what it said."""


class Tables(Protocol):
    """Where transactions go."""

    async def run(self, text: str) -> None:
        """All of it, or nothing. Raises `NftError`, and `OSError` when there is no nft."""
        ...

    async def listing(self, family: str) -> list[dict[str, Any]] | None:
        """Everything in our table of that family, as nft's JSON; None when there is no such table. Raises `NftError`."""
        ...

    def generation(self) -> int:
        """A number that every transaction on any table of the namespace raises by one. Raises `OSError`."""
        ...


class Nft:
    """The kernel's tables, in the network namespace we are in."""

    async def run(self, text: str) -> None:
        await asyncio.to_thread(nft, text, "-f", "-")

    async def listing(self, family: str) -> list[dict[str, Any]] | None:
        try:
            output = await asyncio.to_thread(nft, "", "-j", "list", "table", family, TABLE)
        except NftError as error:
            if _NO_TABLE in str(error):
                return None
            raise
        return parsed(output)

    def generation(self) -> int:
        request = struct.pack("=IHHIIBBH", 20, _GET_GENERATION, _REQUEST, 0, 0, 0, 0, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
            netlink.sendall(request)
            answer = netlink.recv(4096)
        # Header, family and subsystem, then the first attribute: the number, in network order.
        if struct.unpack_from("=H", answer, 4)[0] != _NEW_GENERATION:
            raise OSError("the kernel does not say which generation of tables it has")
        return int(struct.unpack_from("!I", answer, 24)[0])


def parsed(output: bytes) -> list[dict[str, Any]]:
    """The entries of what `nft -j` printed."""
    found: list[dict[str, Any]] = orjson.loads(output)["nftables"]
    return found


def nft(text: str, *arguments: str) -> bytes:
    """What nft printed. By `subprocess`, in a thread: it uses vfork, where the event loop would fork the whole agent, its gRPC threads
    included."""
    try:
        done = subprocess.run(["nft", *arguments], input=text.encode(), capture_output=True, check=False, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise NftError(f"nft did not end within {_TIMEOUT:.0f} s") from None
    if done.returncode:
        raise NftError(done.stderr.decode(errors="replace").strip()[:2000] or f"exit code {done.returncode}")
    return done.stdout


def transaction(changes: Changes) -> str:
    """The text that makes the changes."""
    coming = {**changes.added, **{item: new for item, (_, new) in changes.changed.items()}}
    going = {**changes.removed, **{item: old for item, (old, _) in changes.changed.items() if item.kind == ELEMENT}}
    lines: list[str] = []
    lines += [f"add {_kind(content)} {item.family} {TABLE} {item.name} {{ {content} }}" for item, content in changes.added.items() if item.kind == SET]
    lines += [f"add chain {item.family} {TABLE} {item.name}" for item in changes.added if item.kind == CHAIN]
    lines += _elements("delete", dict.fromkeys(going, ""))
    lines += [f"flush chain {item.family} {TABLE} {item.name}" for item in (*changes.changed, *changes.removed) if item.kind == CHAIN]
    for item, content in coming.items():
        if item.kind == CHAIN and content:
            lines += [f"add rule {item.family} {TABLE} {item.name} {rule}" for rule in content.split("\n")]
    lines += _elements("add", coming)
    lines += [f"delete chain {item.family} {TABLE} {item.name}" for item in changes.removed if item.kind == CHAIN]
    lines += [f"delete {_kind(content)} {item.family} {TABLE} {item.name}" for item, content in changes.removed.items() if item.kind == SET]
    return "\n".join(lines) + "\n"


def made_anew(family: str, contents: Mapping[Item, str]) -> str:
    """The text that puts a new table in the place of whatever is there, in one step."""
    wanted = Changes(added={item: content for item, content in contents.items() if item.family == family})
    return f"table {family} {TABLE} {{ }}\ndelete table {family} {TABLE}\n{skeleton(family)}{transaction(wanted)}"


def removed(families: Iterable[str] = FAMILIES) -> str:
    """The text after which nothing of ours is there."""
    return "".join(f"table {family} {TABLE} {{ }}\ndelete table {family} {TABLE}\n" for family in families)


def cleanup() -> None:
    """Leaves nothing of ours in this network namespace. Raises `NftError`, and `OSError` when there is no nft."""
    nft(removed(), "-f", "-")


def items(family: str, listed: Iterable[Mapping[str, Any]], contents: Mapping[Item, str]) -> dict[Item, str] | None:
    """What a listing shows, as items; None when the table was not made by this edition, or somebody has taken rules out of it or added
    some. Rules are counted, not read: nft prints them differently from what it was given."""
    chains: dict[str, int] = {}
    found: dict[Item, str] = {}
    for entry in listed:
        for kind, thing in entry.items():
            if kind == "chain":
                chains.setdefault(thing["name"], 0)
            elif kind == "rule":
                chains[thing["chain"]] = chains.get(thing["chain"], 0) + 1
            elif kind in ("set", "map"):
                found.update(_listed_set(family, thing, contents))
    fixed = fixed_chains(family)
    if any(chains.get(name) != count for name, count in fixed.items()):
        return None
    for name, count in chains.items():
        if name not in fixed:
            content = contents.get(chain(family, name), "")
            if content and count != content.count("\n") + 1:
                return None
            found[chain(family, name)] = content
    return found


def _listed_set(family: str, thing: Mapping[str, Any], contents: Mapping[Item, str]) -> Iterator[tuple[Item, str]]:
    """The set itself, unless it belongs to the skeleton, and its elements, unless packets put them there."""
    if thing["name"] not in SETS:
        item = declared_set(family, thing["name"])
        yield item, contents.get(item, "map :" if "map" in thing else "")
    if "dynamic" in (thing.get("flags") or ()):
        return
    for entry in thing.get("elem") or ():
        key, value = entry if "map" in thing and isinstance(entry, list) else (entry, "")
        yield element(family, thing["name"], _text(key)), _text(value)


def _text(value: Any) -> str:
    """An expression of nft's JSON as we write it."""
    match value:
        case {"concat": parts}:
            return " . ".join(map(_text, parts))
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"range": [low, high]}:
            return f"{low}-{high}"
        case {"goto": {"target": target}}:
            return f"goto {target}"
        case {"jump": {"target": target}}:
            return f"jump {target}"
        case {"elem": {"val": inner}}:
            return _text(inner)
        case {"drop": _}:
            return "drop"
    return str(value)


def _elements(verb: str, elements: Mapping[Item, str]) -> Iterator[str]:
    """One command for each set; a transaction of 30,000 elements is read much faster than so many commands."""
    groups: dict[tuple[str, str], list[str]] = {}
    for item, content in elements.items():
        if item.kind == ELEMENT:
            groups.setdefault((item.family, item.name), []).append(f"{item.key} : {content}" if content else item.key)
    for (family, name), entries in groups.items():
        yield f"{verb} element {family} {TABLE} {name} {{ {', '.join(entries)} }}"


def _kind(declaration: str) -> str:
    return "map" if ":" in declaration else "set"


def fixed_chains(family: str) -> dict[str, int]:
    """The chains of the skeleton, with the number of their rules."""
    counts: dict[str, int] = {}
    name = ""
    for line in map(str.strip, skeleton(family).splitlines()):
        if line.startswith("chain "):
            name = line.split()[1]
            counts[name] = 0
        elif line == "}":
            name = ""
        elif name and not line.startswith("type "):
            counts[name] += 1
    assert edition(family) in counts
    return counts
