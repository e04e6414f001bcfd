"""Claims, volumes and classes as the scheduler sees them, and the writes that give a placed pod's claims their volumes.

A volume that was chosen counts as taken at once, until the cache shows that it names the claim or the pod's bind has failed. The scheduler
writes only which volume a claim is to have, or for which node one is to be made; the binding controller and the provisioner do the
rest, and the pod is bound when they have.
"""
from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from tiffin.api.core.volume_matching import SELECTED_NODE, class_of, names_claim
from tiffin.client.cache import Caches
from tiffin.client.client import Client
from tiffin.machinery.object import Key, Object, Resource, annotations_of, dig, key_of, meta, name_of, uid_of
from tiffin.scheduler.plugins.volumes import BIND_COMPLETED, Choice

CLAIMS, VOLUMES = Resource("", "v1", "persistentvolumeclaims"), Resource("", "v1", "persistentvolumes")
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses")
BIND_TIMEOUT = 600.0
"""Seconds in which a volume must be there; kube-scheduler's bindTimeoutSeconds."""


class VolumesNotBound(Exception):
    """The claims did not get their volumes in time, or one of them is gone."""


class VolumeBinder:
    """`plugins.volumes.Storage` over shared caches."""

    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._claims, self._volumes, self._classes = caches.add(CLAIMS), caches.add(VOLUMES), caches.add(STORAGE_CLASSES)
        self._volumes.add_index("class", lambda volume: () if dig(volume, "spec", "claimRef") else (class_of(volume) or "",))
        self._volumes.add_index("claim", _claim_index)
        self._promised: dict[str, Key] = {}
        """Which claim a chosen volume goes to, by the volume's name."""
        self._changed = asyncio.Event()
        self._claims.subscribe(self._claim_changed)

    # what is known

    def claim(self, namespace: str, name: str) -> Object | None:
        return self._claims.get(namespace, name)

    def volume(self, name: str) -> Object | None:
        return self._volumes.get("", name)

    def storage_class(self, name: str) -> Object | None:
        return self._classes.get("", name)

    def volumes_for(self, claim: Object) -> Iterable[Object]:
        namespace, name = key_of(claim)
        free = [v for v in self._volumes.by_index("class", class_of(claim) or "") if self._promised.get(name_of(v), (namespace, name)) == (namespace, name)]
        return [*self._volumes.by_index("claim", f"{namespace}/{name}"), *free]

    # what is done about it

    def promise(self, choices: Sequence[Choice]) -> None:
        """The chosen volumes are no longer there for others."""
        for choice in choices:
            if choice.volume is not None:
                self._promised[name_of(choice.volume)] = key_of(choice.claim)

    def release(self, choices: Sequence[Choice]) -> None:
        for choice in choices:
            if choice.volume is not None:
                self._promised.pop(name_of(choice.volume), None)

    async def bind(self, choices: Sequence[Choice], node: str) -> None:
        """Returns when every claim is bound. Raises VolumesNotBound, ApiError and OSError."""
        for choice in choices:
            await self._write(choice, node)
        try:
            async with asyncio.timeout(BIND_TIMEOUT):
                while not all(self._is_bound(choice.claim) for choice in choices):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise VolumesNotBound(f"binding volumes: timed out after {BIND_TIMEOUT:.0f} s") from None

    async def _write(self, choice: Choice, node: str) -> None:
        claim, volume = choice.claim, choice.volume
        guard = {"uid": uid_of(volume or claim), "resourceVersion": meta(volume or claim).get("resourceVersion")}
        if volume is None:
            if annotations_of(claim).get(SELECTED_NODE) != node:
                await self._client.patch(CLAIMS, *key_of(claim), {"metadata": {**guard, "annotations": {SELECTED_NODE: node}}})
        elif dig(volume, "spec", "claimRef", "uid") != uid_of(claim):
            namespace, name = key_of(claim)
            reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace, "name": name, "uid": uid_of(claim)}
            noted = {} if names_claim(volume, claim) else {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}}
            await self._client.patch(VOLUMES, "", name_of(volume), {"metadata": {**guard, **noted}, "spec": {"claimRef": reference}})

    def _is_bound(self, chosen: Object) -> bool:
        claim = self._claims.get(*key_of(chosen))
        if claim is None or uid_of(claim) != uid_of(chosen):
            raise VolumesNotBound(f'persistentvolumeclaim "{name_of(chosen)}" is gone')
        return bool(dig(claim, "spec", "volumeName")) and BIND_COMPLETED in annotations_of(claim)

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        self._changed.set()


def _claim_index(volume: Object) -> Iterable[str]:
    reference = dig(volume, "spec", "claimRef")
    return (f"{reference.get('namespace')}/{reference.get('name')}",) if reference else ()
