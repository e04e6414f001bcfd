"""Which private ranges a cluster gets, so that several live side by side and none disturbs the machine's own network.

A cluster has a /24 for its nodes (the bridge is .1, node N is .N+1) and a /16 for its pods. They are chosen once, kept in
`cluster.json`, and noted in one file for the whole machine, `networks.json`, under a lock. A note whose data directory has gone
is void.
"""
from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple

import orjson

from tiffin.cluster.config import SERVICE_CIDR
from tiffin.cluster.state import write_atomically

MAX_NODES = 200
#: The name of the machine's notes, in the directory of root's clusters.
REGISTRY = "networks.json"


class NoFreeRange(Exception):
    """Every range that tiffin may choose is in use on this machine."""


class Ranges(NamedTuple):
    """The two networks of a cluster, in CIDR notation."""

    nodes: str
    pods: str

    @property
    def gateway(self) -> str:
        """The bridge's own address, where nodes and pods reach the API server."""
        return str(IPv4Network(self.nodes)[1])

    def node(self, index: int) -> str:
        """The address of the node with that index, from 1."""
        return str(IPv4Network(self.nodes)[index + 1])


def _candidates() -> Iterator[Ranges]:
    """The first cluster gets Kubernetes' customary pod range."""
    for slot, second in enumerate([*range(244, 256), *range(200, 244)]):
        yield Ranges(f"10.199.{slot}.0/24", f"10.{second}.0.0/16")


def choose(taken: Iterable[str]) -> Ranges:
    """The first pair of ranges that overlaps nothing in `taken`. Raises `NoFreeRange`."""
    busy = [IPv4Network(network, strict=False) for network in (*taken, SERVICE_CIDR)]
    for ranges in _candidates():
        if not any(other.overlaps(IPv4Network(own)) for other in busy for own in ranges):
            return ranges
    raise NoFreeRange("no private range is free for another cluster: remove one with `tiffin down --purge --name NAME`")


def reserve(registry: Path, data_dir: Path, routed: Iterable[str]) -> Ranges:
    """The ranges of the cluster in `data_dir`: those noted before, or new ones beside other clusters' and the `routed` networks."""
    with _locked(registry) as notes:
        for place in [place for place in notes if not Path(place).is_dir()]:
            del notes[place]
        noted = notes.get(str(data_dir))
        ranges = Ranges(*noted) if noted else choose([*routed, *(network for pair in notes.values() for network in pair)])
        notes[str(data_dir)] = list(ranges)
    return ranges


def release(registry: Path, data_dir: Path) -> None:
    """Forgets the cluster's ranges."""
    with _locked(registry) as notes:
        notes.pop(str(data_dir), None)


@contextmanager
def _locked(registry: Path) -> Iterator[dict[str, list[str]]]:
    """The notes, written back when they changed; an empty file is removed. The directory itself carries the lock."""
    registry.parent.mkdir(parents=True, exist_ok=True)
    with _directory_lock(registry.parent):
        before = registry.read_bytes() if registry.exists() else b"{}"
        notes = orjson.loads(before)
        yield notes
        after = orjson.dumps(notes, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
        if not notes:
            registry.unlink(missing_ok=True)
        elif after != before:
            write_atomically(registry, after)


@contextmanager
def _directory_lock(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
