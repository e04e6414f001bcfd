"""What a pod keeps on the node's disk: how much, and whether that is more than it may.

Counted is everything containers may write to: their writable layers and logs, emptyDirs on disk, /etc/hosts (CVE-2020-8557) and the files
for their last words.
Source: Kubernetes documentation "Local ephemeral storage"; the kubelet's eviction messages.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiffin.kubelet.container_config import log_directory_name
from tiffin.kubelet.state import init_containers, is_sidecar, regular_containers
from tiffin.kubelet.volumes import empty_dir
from tiffin.machinery import quantity
from tiffin.machinery.field import shown
from tiffin.machinery.object import Object, dig

RESOURCE = "ephemeral-storage"
HOSTS_FILE = "etc-hosts"
"""The name of a pod's /etc/hosts within its directory."""
LAST_WORDS = "containers"
"""Beneath it are the files for termination messages."""
BLOCK = 512


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes on disk: of containers by name, of emptyDirs by the volume's name, of what all containers share."""

    containers: Mapping[str, int] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)
    shared: int = 0

    @property
    def total(self) -> int:
        return sum(self.containers.values()) + sum(self.volumes.values()) + self.shared


def is_limited(pod: Object) -> bool:
    """Whether anything says how much the pod may keep."""
    return bool(_limits(pod)) or any(limit is not None for _, limit in _volumes(pod))


def excess(pod: Object, stored: Stored) -> str:
    """Why the pod has to go; "" where it keeps within its limits."""
    text = ""
    for name, limit in _volumes(pod):
        if limit is not None and stored.volumes.get(name, 0) > quantity.to_int(limit):
            text += f"Usage of EmptyDir volume {shown(name)} exceeds the limit {shown(str(limit))}. "
    if text:
        return text
    limits = _limits(pod)
    whole = _pod_limit(pod, limits)
    if limits and stored.total > whole:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {_bytes(whole)}. "
    for name, limit in limits.items():
        if stored.containers.get(name, 0) > quantity.to_int(limit):
            text += f"Container {name} exceeded its local ephemeral storage limit {shown(str(limit))}. "
    return text


def requested(pod: Object) -> int:
    """Bytes the pod's containers ask for together."""
    amounts = [dig(c, "resources", "requests", RESOURCE) for c in regular_containers(pod)]
    return sum(quantity.to_int(amount) for amount in amounts if amount is not None)


def _volumes(pod: Object) -> Iterable[tuple[str, str | None]]:
    """The emptyDirs on disk, with their limits."""
    for volume in dig(pod, "spec", "volumes", default=[]):
        source = volume.get("emptyDir")
        if source is not None and not source.get("medium"):
            yield volume["name"], source.get("sizeLimit")


def _limits(pod: Object) -> dict[str, str]:
    containers = [*init_containers(pod), *regular_containers(pod)]
    found = {c["name"]: dig(c, "resources", "limits", RESOURCE) for c in containers}
    return {name: limit for name, limit in found.items() if limit is not None}


def _pod_limit(pod: Object, limits: Mapping[str, str]) -> int:
    """What all containers may keep together: those that run side by side, or the one before them that may keep the most."""
    alone = {c["name"] for c in init_containers(pod) if not is_sidecar(c)}
    amounts = {name: quantity.to_int(limit) for name, limit in limits.items()}
    together = sum(amount for name, amount in amounts.items() if name not in alone)
    return max([together, *(amounts[name] for name in alone & amounts.keys())])


def _bytes(amount: int) -> str:
    """As a quantity in powers of two, as Kubernetes prints a sum of such."""
    for suffix, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if amount and amount % size == 0:
            return f"{amount // size}{suffix}"
    return str(amount)


def measure(pod: Object, directory: Path, logs: Path, layers: Mapping[str, int]) -> Stored:
    """Looks at the disk: the pod's directory, the directory of all pods' logs, the sizes of writable layers by container. Blocks."""
    own_logs = logs / log_directory_name(pod)
    names = {c["name"] for c in [*init_containers(pod), *regular_containers(pod)]} | layers.keys()
    containers = {name: layers.get(name, 0) + used(own_logs / name) for name in names}
    volumes = {name: used(directory / "volumes" / empty_dir.VOLUME.directory / name) for name, _ in _volumes(pod)}
    return Stored(containers, volumes, used(directory / HOSTS_FILE) + used(directory / LAST_WORDS))


def used(path: Path) -> int:
    """Bytes on disk of a file, or of all beneath a directory: on its own file system, links not followed, each file once.

    What the pod moves or removes meanwhile counts or does not.
    """
    try:
        top = os.lstat(path)
    except OSError:
        return 0
    total, seen, waiting = top.st_blocks * BLOCK, {top.st_ino}, [str(path)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:  # a file, or gone
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if status.st_dev != top.st_dev or status.st_ino in seen:
                continue
            seen.add(status.st_ino)
            total += status.st_blocks * BLOCK
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    return total
