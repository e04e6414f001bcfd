"""ConfigMaps and Secrets that the node's pods refer to, each watched by name for as long as some pod needs it.

A node may read only what its pods refer to, so nothing is listed as a whole. The first look-up waits until the object, or its
absence, is known; later ones answer at once. Changes are told to every pod that holds the object.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tiffin.client.cache import Cache
from tiffin.client.client import Client
from tiffin.client.watcher import Selection, follow
from tiffin.kubelet.state import all_containers
from tiffin.machinery.object import Object, Resource, dig, namespace_of, uid_of
from tiffin.runtime.clock import Clock

CONFIG_MAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
SYNC_SECONDS = 5.0
"""How long a look-up waits to learn of an object for the first time."""
Reference = tuple[Resource, str, str]
"""Resource, namespace, name."""


def references_of(pod: Object) -> Iterator[Reference]:
    """Every ConfigMap and Secret a pod names: environments of all its containers, volumes, pull secrets."""
    namespace = namespace_of(pod)
    for secret in dig(pod, "spec", "imagePullSecrets", default=[]):
        if secret.get("name"):
            yield SECRETS, namespace, secret["name"]
    for container in all_containers(pod):
        for entry in [*(container.get("envFrom") or ()), *((v.get("valueFrom") or {}) for v in container.get("env") or ())]:
            for key, resource in (("configMapRef", CONFIG_MAPS), ("secretRef", SECRETS), ("configMapKeyRef", CONFIG_MAPS), ("secretKeyRef", SECRETS)):
                if name := dig(entry, key, "name"):
                    yield resource, namespace, name
    for volume in dig(pod, "spec", "volumes", default=[]):
        for source in [volume, *dig(volume, "projected", "sources", default=[])]:
            if name := dig(source, "configMap", "name"):
                yield CONFIG_MAPS, namespace, name
            if name := dig(source, "secret", "secretName") or dig(source, "secret", "name"):
                yield SECRETS, namespace, name


@dataclass(slots=True)
class _Watched:
    cache: Cache
    task: asyncio.Task[None]
    holders: set[str] = field(default_factory=set)


class References:
    """The referenced objects; `changed(uid)` is called for each holder of an object that changed."""

    def __init__(self, client: Client, clock: Clock, changed: Callable[[str], None]) -> None:
        self._client, self._clock, self._changed = client, clock, changed
        self._watched: dict[Reference, _Watched] = {}
        self._held: dict[str, frozenset[Reference]] = {}

    def hold(self, pod: Object) -> None:
        """Watch what a pod refers to now, and no longer what it once did."""
        uid, wanted = uid_of(pod), frozenset(references_of(pod))
        for reference in self._held.get(uid, frozenset()) - wanted:
            self._release_one(uid, reference)
        for reference in wanted - self._held.get(uid, frozenset()):
            self._watch(reference).holders.add(uid)
        self._held[uid] = wanted

    def release(self, uid: str) -> None:
        """A pod is gone."""
        for reference in self._held.pop(uid, frozenset()):
            self._release_one(uid, reference)

    def _release_one(self, uid: str, reference: Reference) -> None:
        watched = self._watched[reference]
        watched.holders.discard(uid)
        if not watched.holders:
            watched.task.cancel()
            del self._watched[reference]

    def _watch(self, reference: Reference) -> _Watched:
        if reference in self._watched:
            return self._watched[reference]
        resource, namespace, name = reference
        cache = Cache(resource, self._clock.now)
        selection = Selection(resource, namespace, fields=f"metadata.name={name}")
        task = asyncio.create_task(follow(self._client, selection, cache, self._clock.sleep), name=f"watch {resource.plural} {namespace}/{name}")
        watched = self._watched[reference] = _Watched(cache, task)

        def tell(old: Object | None, new: Object | None) -> None:
            if cache.synced.is_set():
                for uid in tuple(watched.holders):
                    self._changed(uid)

        cache.subscribe(tell)
        return watched

    async def _get(self, reference: Reference) -> Object | None:
        watched = self._watched.get(reference)
        if watched is None:
            return None
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                await watched.cache.synced.wait()
        except TimeoutError:
            kind = "configmap" if reference[0] == CONFIG_MAPS else "secret"
            raise TimeoutError(f"failed to sync {kind} cache: timed out waiting for the condition") from None
        return watched.cache.get(*reference[1:])

    async def config_map(self, namespace: str, name: str) -> Object | None:
        return await self._get((CONFIG_MAPS, namespace, name))

    async def secret(self, namespace: str, name: str) -> Object | None:
        return await self._get((SECRETS, namespace, name))

    async def gathered(self, pod: Object) -> dict[Reference, Object | None]:
        """Every object a pod refers to, at once. Raises TimeoutError."""
        references = sorted(set(references_of(pod)))
        found: list[Any] = await asyncio.gather(*(self._get(r) for r in references))
        return dict(zip(references, found))

    def close(self) -> None:
        for watched in self._watched.values():
            watched.task.cancel()
        self._watched.clear()
        self._held.clear()
