"""Cgroups of pods: made with the pod's limits before its sandbox, removed after it. Both cgroup versions; names in cgroupfs notation."""
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from tiffin.kubelet import resources
from tiffin.machinery.object import Object

CONTROLLERS_V2 = "+cpu +memory +pids +cpuset"


def shares_to_weight(shares: int) -> int:
    """cgroup v2's weight for v1's shares. Source: KEP-2254."""
    return 1 + (shares - 2) * 9999 // 262142


class Cgroups:
    """The pods' cgroups beneath one root."""

    def __init__(self, root: str, mount: Path) -> None:
        self._root, self._mount = root.strip("/"), mount
        self.unified = (mount / "cgroup.controllers").exists()

    def ensure(self, pod: Object) -> None:
        """The cgroup of a pod with its limits, written anew if it exists. Raises OSError."""
        parent = resources.cgroup_parent("", pod).strip("/")
        settings = self._settings(pod)
        for controller, directory in self._directories(parent):
            directory.mkdir(parents=True, exist_ok=True)
            if self.unified:
                self._delegate(directory)
            for name, value in settings.get(controller, {}).items():
                (directory / name).write_text(value)

    def remove(self, pod: Object) -> None:
        """Remove a pod's cgroup and what is left beneath it; one still in use stays."""
        self._remove(resources.cgroup_parent("", pod).strip("/"))

    def pods(self) -> set[str]:
        """UIDs of all pods that have a cgroup."""
        found = set()
        for _, directory in self._directories(""):
            for child in [*directory.glob("pod*"), *directory.glob("*/pod*")]:
                found.add(child.name.removeprefix("pod"))
        return found

    def remove_uid(self, uid: str) -> None:
        for middle in ("", "burstable/", "besteffort/"):
            self._remove(f"{middle}pod{uid}")

    def _remove(self, name: str) -> None:
        for _, directory in self._directories(name):
            for deeper, _, _ in os.walk(directory, topdown=False):
                try:
                    os.rmdir(deeper)
                except OSError:
                    # A process that has not ended yet holds it: garbage collection comes by again.
                    continue

    def _directories(self, name: str) -> Iterator[tuple[str, Path]]:
        if self.unified:
            yield "", self._mount / self._root / name
            return
        # Version 1 has a hierarchy for each controller, and where both versions are in use one called "unified".
        for hierarchy in sorted(self._mount.iterdir()):
            if not hierarchy.is_symlink() and (hierarchy / "cgroup.procs").exists():
                for controller in hierarchy.name.split(","):
                    yield controller, hierarchy / self._root / name

    def _settings(self, pod: Object) -> Mapping[str, Mapping[str, str]]:
        shares = resources.shares(resources.pod_amount(pod, "requests", "cpu"))
        quota = resources.quota(resources.pod_amount(pod, "limits", "cpu"))
        memory = resources.pod_amount(pod, "limits", "memory")
        if self.unified:
            return {"": {
                "cpu.weight": str(shares_to_weight(shares)), "cpu.max": f"{quota or 'max'} {resources.PERIOD}", "memory.max": str(memory or "max"),
            }}
        cpu = {"cpu.shares": str(shares)} | ({"cpu.cfs_period_us": str(resources.PERIOD), "cpu.cfs_quota_us": str(quota)} if quota else {})
        return {"cpu": cpu, "memory": {"memory.limit_in_bytes": str(memory)} if memory else {}}

    def _delegate(self, directory: Path) -> None:
        """Let controllers reach a directory: every one above it must hand them down."""
        for above in reversed([p for p in directory.parents if p.is_relative_to(self._mount)]):
            (above / "cgroup.subtree_control").write_text(CONTROLLERS_V2)
