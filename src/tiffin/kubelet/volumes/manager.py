"""All volumes of the node's pods: set up before containers start, kept fresh, shown to containers, removed with the pod.

Layout, as a kubelet's: `pods/<uid>/volumes/<type>/<name>` and `pods/<uid>/volume-subpaths/<volume>/<container>/<index>`.
Nothing is removed while anything is still mounted beneath it.
"""
from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tiffin.kubelet import syscalls
from tiffin.kubelet.container_config import Mounted
from tiffin.kubelet.env import expand
from tiffin.kubelet.fields import Facts
from tiffin.kubelet.volumes import subpath
from tiffin.kubelet.volumes.types import Objects, Ready, Request, VolumeFault, source_name, volume_types
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, dig, uid_of


class Volumes:
    """The volumes under one root directory."""

    def __init__(self, root: Path, objects: Objects) -> None:
        self._root, self._objects = root, objects
        self._ready: dict[str, dict[str, Ready]] = {}

    def pod_directory(self, uid: str) -> Path:
        return self._root / "pods" / uid

    async def set_up(self, pod: Object, facts: Facts, now: datetime, *, only_following: bool = False) -> datetime | None:
        """Make every volume of the pod appear; answers when one of them must be renewed. Raises VolumeFault naming each that failed."""
        volumes = dig(pod, "spec", "volumes", default=[])
        if only_following:
            volumes = [v for v in volumes if (kind := volume_types().get(source_name(v))) and kind.follows]
        results = await asyncio.gather(*(self._set_up_one(pod, v, facts, now) for v in volumes), return_exceptions=True)
        complaints = []
        for volume, result in zip(volumes, results):
            if isinstance(result, Ready):
                self._ready.setdefault(uid_of(pod), {})[volume["name"]] = result
            elif isinstance(result, (VolumeFault, OSError, ApiError)):
                complaints.append(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {result}')
            else:
                raise result
        if complaints:
            raise VolumeFault("\n".join(complaints))
        return min((r.refresh_at for r in self._ready.get(uid_of(pod), {}).values() if r.refresh_at), default=None)

    async def _set_up_one(self, pod: Object, volume: Object, facts: Facts, now: datetime) -> Ready:
        kind = volume_types().get(source_name(volume))
        if kind is None:
            raise VolumeFault(f"no volume plugin matched name: {source_name(volume)}")
        path = self.pod_directory(uid_of(pod)) / "volumes" / kind.directory / volume["name"]
        return await kind.set_up(Request(pod, volume, path, self._objects, facts, now))

    def mounts(self, pod: Object, container: Object, environment: Mapping[str, str]) -> list[Mounted]:
        """What a container sees of the pod's volumes. Raises VolumeFault."""
        ready = self._ready.get(uid_of(pod), {})
        types = {v["name"]: volume_types().get(source_name(v)) for v in dig(pod, "spec", "volumes", default=[])}
        mounts = []
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            name = mount["name"]
            if name not in ready:
                raise VolumeFault(f'cannot find volume "{name}" to mount into container "{container["name"]}"')
            host = ready[name].path
            if part := self._part(mount, environment):
                target = self.pod_directory(uid_of(pod)) / "volume-subpaths" / name / container["name"] / str(index)
                host = subpath.pin(host, part, target)
            kind = types.get(name)
            read_only = bool(mount.get("readOnly")) or bool(kind and kind.read_only)
            mounts.append(Mounted(_absolute(mount["mountPath"]), str(host), read_only, mount.get("mountPropagation") or ""))
        return mounts

    @staticmethod
    def _part(mount: Object, environment: Mapping[str, str]) -> str:
        if expression := mount.get("subPathExpr"):
            part = expand(expression, environment)
            if "$(" in part:
                raise VolumeFault(f"missing value for subPathExpr {expression}")
            return part
        return mount.get("subPath") or ""

    def has(self, uid: str) -> bool:
        return uid in self._ready

    async def tear_down(self, uid: str) -> None:
        """Unmount and remove all volumes of a pod. Raises VolumeFault while something stays mounted."""
        self._ready.pop(uid, None)
        await asyncio.to_thread(remove_tree, self.pod_directory(uid) / "volume-subpaths")
        await asyncio.to_thread(remove_tree, self.pod_directory(uid) / "volumes")

    async def remove(self, uid: str) -> None:
        """Remove everything kept for a pod."""
        self._ready.pop(uid, None)
        await asyncio.to_thread(remove_tree, self.pod_directory(uid))

    def known(self) -> list[str]:
        """UIDs of pods that left something on disk."""
        directory = self._root / "pods"
        return os.listdir(directory) if directory.is_dir() else []


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def remove_tree(path: Path) -> None:
    """Unmount what is mounted beneath a directory, then remove it; never reaches into another file system. Raises VolumeFault."""
    if not path.is_dir():
        return
    real = os.path.realpath(path)
    for mount in syscalls.mounts_beneath(real):
        syscalls.unmount(mount.path)
    if left := syscalls.mounts_beneath(real):
        raise VolumeFault(f"{left[0].path} is still mounted")
    shutil.rmtree(real)
