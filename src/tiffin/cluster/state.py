"""`cluster.json`: what was asked for when the cluster was made, and the addresses it was given.

It is replaced as a whole, never edited in place. A file of an older version is read as what it meant, one of a newer version is
refused, not guessed at.
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from tiffin.cluster.config import LOAD_BALANCER_ADDRESSES, NODE_MONITOR_GRACE, POD_CIDR, STATE_VERSION, TOLERATION_SECONDS


class NewerState(Exception):
    """The data directory was written by a newer tiffin."""


class DamagedState(Exception):
    """`cluster.json` is there but is not what tiffin writes."""


@dataclass(frozen=True)
class ClusterState:
    """One cluster's settings. `node_network` is empty for a cluster without real nodes."""

    name: str
    port: int
    nodes: tuple[int, ...]
    """The numbers of its real nodes, ascending; where a node was removed there is a gap."""
    simulated: int
    store: str
    node_network: str = ""
    pod_cidr: str = POD_CIDR
    stopped: tuple[int, ...] = ()
    """Those of `nodes` that are switched off, and stay so until somebody starts them."""
    node_monitor_grace: float = NODE_MONITOR_GRACE
    """Seconds that a node may be silent before it counts as unreachable."""
    not_ready_toleration: int = TOLERATION_SECONDS
    unreachable_toleration: int = TOLERATION_SECONDS
    """Seconds that pods which say nothing of it stay on a node that is not ready, or silent."""
    allow_external_ips: bool | None = None
    """Whether Services may have externalIPs; None where nothing was said: then only while no real node carries traffic."""
    load_balancer_addresses: str = LOAD_BALANCER_ADDRESSES
    """Separated by commas."""
    legacy_apis: bool = False
    """Whether the API versions that Kubernetes has retired are served, too."""
    pod_security_policy: bool = False
    """Whether PodSecurityPolicies are enforced."""
    listen: tuple[str, ...] = ()
    """Addresses of this machine on which other machines reach the API server."""
    access_files: tuple[str, ...] = ()
    """Flags of the server: its files about access, see `accessfiles.py`."""
    version: int = STATE_VERSION

    @property
    def running(self) -> tuple[int, ...]:
        """The nodes that are to run."""
        return tuple(index for index in self.nodes if index not in self.stopped)

    @property
    def external_ips_allowed(self) -> bool:
        """Where nothing carries traffic there is none to intercept (CVE-2020-8554); then the API answers as Kubernetes does by default."""
        return self.allow_external_ips if self.allow_external_ips is not None else not (self.nodes or self.listen)

    def with_count(self, count: int) -> ClusterState:
        """The same cluster with so many nodes: the lowest free numbers are added, the highest ones go."""
        kept = self.nodes[:count]
        return self.with_nodes([*kept, *free_numbers(kept, count - len(kept))])

    def with_nodes(self, numbers: Sequence[int]) -> ClusterState:
        """The same cluster with exactly these nodes."""
        return replace(self, nodes=tuple(sorted(numbers)), stopped=tuple(index for index in self.stopped if index in numbers))


def free_numbers(taken: Sequence[int], count: int) -> list[int]:
    """The `count` lowest numbers, from 1, that are not taken."""
    return [index for index in range(1, len(taken) + count + 1) if index not in taken][: max(0, count)]


def load_state(path: Path) -> ClusterState | None:
    """The state, or None where there is no cluster. Raises `NewerState` and `DamagedState`."""
    try:
        document = orjson.loads(path.read_bytes())
        version = int(document["version"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedState(f"{path} cannot be read: {error}") from error
    if version > STATE_VERSION:
        raise NewerState(f"{path} has state version {version}, and this tiffin knows up to {STATE_VERSION}")
    try:
        return _read(document, version)
    except (TypeError, ValueError, KeyError) as error:
        raise DamagedState(f"{path} cannot be read: {error}") from error


def _read(document: dict[str, Any], version: int) -> ClusterState:
    """Version 1 knew only how many nodes there are."""
    nodes = range(1, document["nodes"] + 1) if version < 2 else document["nodes"]
    lists: dict[str, tuple[Any, ...]] = {"nodes": tuple(map(int, nodes)), "stopped": tuple(map(int, document.get("stopped", ()))), "listen": tuple(document.get("listen", ()))}
    lists["access_files"] = tuple(document.get("access_files", ()))
    return ClusterState(**{**document, **lists, "version": STATE_VERSION})


def save_state(path: Path, state: ClusterState) -> None:
    """Durable before it is visible."""
    write_atomically(path, orjson.dumps(asdict(state), option=orjson.OPT_INDENT_2) + b"\n")


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Readers see the old content or the new, never a part, whatever happens to the machine.

    Nothing that lies there already is written into: in a directory that others write to, it might be a link.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
