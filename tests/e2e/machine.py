"""What of a cluster is on this machine: asked of the kernel, not of tiffin."""
from __future__ import annotations

import subprocess
from pathlib import Path

from tiffin.cluster import cgroups
from tiffin.cluster.layout import Layout


def traces(layout: Layout) -> list[str]:
    """Every process, mount, namespace, interface, cgroup, nft table, socket and run file that belongs to the cluster."""
    return [
        *(f"process {process}" for process in _processes(layout)),
        *(f"mount {line.split()[4]}" for line in _lines("/proc/self/mountinfo") if layout.id in line or str(layout.data_dir) in line),
        *(f"namespace {path.name}" for path in Path("/run/netns").glob("*") if layout.id in path.name),
        *(f"interface {path.name}" for path in Path("/sys/class/net").iterdir() if layout.id in path.name),
        *(f"cgroup {path}" for root in cgroups.hierarchies() for path in root.glob(f"*{layout.id}*")),
        *(f"nft {line}" for line in subprocess.run(["nft", "list", "tables"], text=True, capture_output=True, check=False).stdout.splitlines() if layout.id in line),
        *(f"file {layout.run_dir}" for _ in [0] if layout.run_dir.exists()),
        *(f"CNI result {path.name}" for path in Path("/var/lib/cni/results").glob("*") if layout.id in path.read_text()),
    ]


def _processes(layout: Layout) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cgroup = (process / "cgroup").read_text()
        except OSError:
            continue
        if layout.id in command or str(layout.data_dir) in command or layout.id in cgroup:
            if not {"up", "down"} & set(command.split()):
                found.append(f"{process.name}: {command}")
    return found


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()
