"""One containerd for each node: its own root, state and socket, started inside the node's network namespace.

Born there, it makes pods' networks there, and a pod on the "host network" sees the node's. It survives `tiffin up`, and its shims
survive it: a new containerd on the same root and state finds the running containers again.
"""
from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from tiffin.cluster import cni
from tiffin.cluster.layout import NodeLayout
from tiffin.cluster.state import write_atomically

#: The image of the sandbox container; tiffin makes it and gives it to every node, so nothing looks for it elsewhere.
PAUSE_IMAGE = "localhost/tiffin/pause:1"

_CONFIG = """\
# Written by `tiffin up`; changes are lost.
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [
    "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
    "io.containerd.internal.v1.restart",
]
required_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
    address = "{socket}"

[debug]
    level = "warn"

[plugins."io.containerd.internal.v1.opt"]
    path = "{root}/opt"

[plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "{pause}"
    restrict_oom_score_adj = {restrict_oom}
    netns_mounts_under_state_dir = true
    enable_unprivileged_ports = true
    enable_unprivileged_icmp = true
    stats_collect_period = 300

[plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_bin}"
    conf_dir = "{cni_conf}"
    conf_template = "{cni_template}"

[plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    BinaryName = "{runtime}"
    SystemdCgroup = false
"""

_CAP_SYS_RESOURCE = 24


def write_config(node: NodeLayout, mtu: int) -> Path:
    """Writes containerd's and CNI's configuration for the node, and answers the former's path."""
    for directory in (node.data_dir, node.run_dir, node.containerd_root, node.containerd_state):
        directory.mkdir(parents=True, exist_ok=True)
    cni.write_template(node, mtu)
    config = _CONFIG.format(
        root=node.containerd_root,
        state=node.containerd_state,
        socket=node.containerd_socket,
        pause=PAUSE_IMAGE,
        restrict_oom=str(not may_lower_oom_score()).lower(),
        cni_bin=cni.plugin_dir(),
        cni_conf=cni.configuration_dir(node),
        cni_template=cni.template_file(node),
        snapshotter=_snapshotter(node.containerd_root),
        runtime=shutil.which("runc") or shutil.which("crun"),
    )
    write_atomically(node.containerd_config, config.encode())
    return node.containerd_config


def command(node: NodeLayout) -> list[str]:
    """The command line that identifies this node's containerd, too."""
    return ["containerd", "--config", str(node.containerd_config)]


class ReadySocket:
    """Where a process that speaks systemd's notification protocol (sd_notify) says that it is ready."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(str(path))

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path)}

    def fileno(self) -> int:
        """To be waited on; readable when there is a message."""
        return self._socket.fileno()

    def is_ready(self) -> bool:
        """Reads one message."""
        return b"READY=1" in self._socket.recv(4096).split(b"\n")

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)


def _snapshotter(root: Path) -> str:
    """overlayfs cannot be stacked on overlayfs, as inside a container; copying works everywhere."""
    with open("/proc/self/mountinfo") as mounts:
        points = [(fields[4], fields[fields.index("-") + 1]) for fields in (line.split() for line in mounts)]
    place = os.path.realpath(root)
    mount = max((point for point in points if Path(place).is_relative_to(point[0])), key=lambda point: len(point[0]))
    return "native" if mount[1] in ("overlay", "fuse-overlayfs") else "overlayfs"


def may_lower_oom_score() -> bool:
    """Without CAP_SYS_RESOURCE, as in many virtual machines and containers, runc could not start a pod that asks for it."""
    with open("/proc/self/status") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return bool(effective & 1 << _CAP_SYS_RESOURCE)
