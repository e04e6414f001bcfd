"""Where a cluster keeps things.

Two places. The data directory holds what survives a reboot: objects, keys, images, logs, `cluster.json`. The run directory, on a
file system that a reboot empties, holds sockets and what containerd mounts; its name is short because a socket's path is limited
to 108 bytes. Everything a cluster makes on the machine carries its `id`, so that `tiffin down` knows its own from others'.
"""
from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class BadClusterName(ValueError):
    """The name is not an RFC 1123 label of at most 40 characters."""


def default_root() -> Path:
    """Where clusters of this user live: `/var/lib/tiffin` for root, `~/.local/share/tiffin` (XDG) for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/tiffin")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(base) / "tiffin"


def _run_root() -> Path:
    if os.geteuid() == 0:
        return Path("/run/tiffin")
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base) / "tiffin" if base else Path(f"/tmp/tiffin-{os.geteuid()}")


@dataclass(frozen=True)
class Layout:
    """The paths and names of one cluster."""

    name: str
    data_dir: Path

    def __post_init__(self) -> None:
        if len(self.name) > 40 or not _NAME.fullmatch(self.name):
            raise BadClusterName(
                f"{self.name!r} is no cluster name: it takes lower case letters, digits and '-', at most 40, and begins and ends with a letter or digit"
            )

    @classmethod
    def find(cls, name: str, data_dir: Path | None = None) -> Layout:
        """The cluster's layout. A cluster whose data is elsewhere has a symbolic link in the default place."""
        place = data_dir.absolute() if data_dir else default_root() / name
        return cls(name, place.resolve())

    @property
    def id(self) -> str:
        """Six hexadecimal digits that are this cluster's own on this machine."""
        return hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:6]

    @property
    def default_place(self) -> Path:
        return default_root() / self.name

    @property
    def state_file(self) -> Path:
        return self.data_dir / "cluster.json"

    @property
    def lock_file(self) -> Path:
        return self.data_dir / "lock"

    @property
    def joined_file(self) -> Path:
        """What a machine that joined another one's cluster knows of it."""
        return self.data_dir / "joined.json"

    @property
    def pki_dir(self) -> Path:
        return self.data_dir / "pki"

    @property
    def admin_token_file(self) -> Path:
        return self.data_dir / "admin.token"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "logs"

    @property
    def pid_dir(self) -> Path:
        return self.data_dir / "pids"

    @property
    def run_dir(self) -> Path:
        return _run_root() / self.id

    @property
    def bridge(self) -> str:
        return f"tiffin-{self.id}"

    @property
    def nft_table(self) -> str:
        return f"tiffin_{self.id}"

    @property
    def cgroup(self) -> str:
        """The cgroup, below the root of each hierarchy, that holds every pod of the cluster."""
        return f"tiffin-{self.id}"

    @property
    def context(self) -> str:
        """The kubeconfig's name for this cluster."""
        return "tiffin" if self.name == "tiffin" else f"tiffin-{self.name}"

    def node(self, index: int) -> NodeLayout:
        return NodeLayout(self, index)


@dataclass(frozen=True)
class NodeLayout:
    """The paths and names of one node; `index` counts from 1. A machine that joined is a node of index 0, with a name of its own."""

    cluster: Layout
    index: int
    own_name: str = ""

    @property
    def name(self) -> str:
        return self.own_name or f"node-{self.index}"

    @property
    def data_dir(self) -> Path:
        return self.cluster.data_dir / "nodes" / self.name

    @property
    def run_dir(self) -> Path:
        return self.cluster.run_dir / str(self.index)

    @property
    def netns(self) -> str:
        return f"tiffin-{self.cluster.id}-{self.name}"

    @property
    def veth(self) -> str:
        """The host's end of the node's cable; interface names have at most 15 characters."""
        return f"tf{self.cluster.id}n{self.index}"

    @property
    def cgroup(self) -> str:
        return f"{self.cluster.cgroup}/{self.name}"

    @property
    def containerd_socket(self) -> Path:
        return self.run_dir / "containerd.sock"

    @property
    def containerd_root(self) -> Path:
        return self.data_dir / "containerd"

    @property
    def containerd_state(self) -> Path:
        return self.run_dir / "containerd"

    @property
    def containerd_config(self) -> Path:
        return self.data_dir / "containerd.toml"

    @property
    def cni_dir(self) -> Path:
        return self.data_dir / "cni"

    @property
    def kubelet_dir(self) -> Path:
        """Pods' volumes and logs, and the agent's own memory."""
        return self.data_dir / "kubelet"
