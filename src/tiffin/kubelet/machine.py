"""Measuring the machine: what it is, what is left. Small reads of /proc, no subprocess."""
from __future__ import annotations

import os
import platform
from pathlib import Path

from tiffin.kubelet.node_status import Machine, Pressure
from tiffin.machinery import quantity

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _memory() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) * (1024 if rest.endswith("kB") else 1)
    return found


def _os_image() -> str:
    for line in _line("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"


def measure(root: Path) -> Machine:
    """The machine, its storage being that of the file system of `root`."""
    disk = os.statvfs(root)
    system = _line("/sys/class/dmi/id/product_uuid") or _line("/etc/machine-id")
    return Machine(
        cpus=len(os.sched_getaffinity(0)), memory=_memory()["MemTotal"], storage=disk.f_blocks * disk.f_frsize,
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()), kernel=platform.release(), os_image=_os_image(),
        machine_id=_line("/etc/machine-id"), system_uuid=system, boot_id=_line("/proc/sys/kernel/random/boot_id"),
    )


def pressure(root: Path, thresholds: dict[str, str]) -> Pressure:
    """Which of the hard eviction thresholds is crossed."""
    disk = os.statvfs(root)
    memory = _memory()
    short_disk = _below(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize, thresholds.get("nodefs.available"))
    short_inodes = disk.f_files > 0 and _below(disk.f_favail, disk.f_files, thresholds.get("nodefs.inodesFree"))
    return Pressure(
        memory=_below(memory["MemAvailable"], memory["MemTotal"], thresholds.get("memory.available")), disk=short_disk or short_inodes, pid=_pids_short(),
    )


def _below(available: int, total: int, threshold: str | None) -> bool:
    if not threshold:
        return False
    limit = total * float(threshold[:-1]) / 100 if threshold.endswith("%") else quantity.to_int(threshold)
    return available < limit


def _pids_short() -> bool:
    """Fewer than a thousand process numbers left."""
    running = _line("/proc/loadavg").split()[3].partition("/")[2]
    limit = _line("/proc/sys/kernel/pid_max")
    return bool(running and limit) and int(limit) - int(running) < 1000
