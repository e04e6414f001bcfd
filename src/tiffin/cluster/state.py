"""`cluster.json`: what was asked for when the cluster was made, and the addresses it was given.

It is replaced as a whole, never edited in place. A file of a newer version is refused, not guessed at.
"""
from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from tiffin.cluster.config import POD_CIDR, STATE_VERSION


class NewerState(Exception):
    """The data directory was written by a newer tiffin."""


class DamagedState(Exception):
    """`cluster.json` is there but is not what tiffin writes."""


@dataclass(frozen=True)
class ClusterState:
    """One cluster's settings. `node_network` is empty for a cluster without real nodes."""

    name: str
    port: int
    nodes: int
    simulated: int
    store: str
    node_network: str = ""
    pod_cidr: str = POD_CIDR
    version: int = STATE_VERSION


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
        return ClusterState(**document)
    except TypeError as error:
        raise DamagedState(f"{path} cannot be read: {error}") from error


def save_state(path: Path, state: ClusterState) -> None:
    """Durable before it is visible."""
    write_atomically(path, orjson.dumps(asdict(state), option=orjson.OPT_INDENT_2) + b"\n")


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Readers see the old content or the new, never a part, whatever happens to the machine."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
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
