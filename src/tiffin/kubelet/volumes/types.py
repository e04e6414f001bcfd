"""What a volume type is, and the scan that finds them all.

A type is data and one coroutine: `set_up` makes the volume appear and answers where; it is called again, with the same result,
whenever what the volume shows may have changed. Removal is common to all: unmount, then remove the pod's directory.
"""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from tiffin.kubelet.fields import Facts
from tiffin.machinery.object import Object, dig

DIRECTORY_MODE = 0o755


class VolumeFault(Exception):
    """A volume cannot be set up now; the text is the end of a FailedMount event."""


class Objects(Protocol):
    """Where volumes find what they show."""

    async def config_map(self, namespace: str, name: str) -> Object | None: ...

    async def secret(self, namespace: str, name: str) -> Object | None: ...

    async def token(self, pod: Object, audience: str, seconds: int) -> tuple[str, datetime, datetime]:
        """A service-account token bound to the pod, when it was issued and when it expires."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One volume of one pod; `path` is where it shall appear if the type has a place of its own."""

    pod: Object
    volume: Object
    path: Path
    objects: Objects
    facts: Facts
    now: datetime

    @property
    def fs_group(self) -> int | None:
        return dig(self.pod, "spec", "securityContext", "fsGroup")

    @property
    def source(self) -> Mapping[str, Any]:
        name = source_name(self.volume)
        return self.volume.get(name) or {}


@dataclass(frozen=True, slots=True)
class Ready:
    """A volume that is there; `refresh_at` is when it must be set up anew even if nothing is heard."""

    path: Path
    refresh_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VolumeType:
    """`field` of the volume that selects the type, the plugin's directory name, and how it is set up."""

    field: str
    directory: str
    set_up: Callable[[Request], Awaitable[Ready]]
    read_only: bool = False
    """Containers never write to it."""
    follows: bool = False
    """What it shows changes while it is in use."""


@cache
def volume_types() -> Mapping[str, VolumeType]:
    """Every type by its field."""
    package = importlib.import_module("tiffin.kubelet.volumes")
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        volume = getattr(importlib.import_module(f"{package.__name__}.{info.name}"), "VOLUME", None)
        if volume is not None:
            found[volume.field] = volume
    return found


def source_name(volume: Object) -> str:
    """The field that says what a volume is; one without any is an emptyDir."""
    return next((key for key, value in volume.items() if key != "name" and value is not None), "emptyDir")


def run_as_user(pod: Object) -> int | None:
    """The user of every container, when they all have the same."""
    of_pod = dig(pod, "spec", "securityContext", "runAsUser")
    users = {
        dig(c, "securityContext", "runAsUser", default=of_pod)
        for c in [*dig(pod, "spec", "initContainers", default=[]), *dig(pod, "spec", "containers", default=[])]
    }
    return users.pop() if len(users) == 1 else None
