"""VolumeBinding: a pod goes only where its claims' volumes are, or where volumes can be found or made for those that wait for it.

Claims that are not there, are going, have lost their volume, or are bound without regard to pods and not yet bound keep the pod from
every node. A bound claim's volume says by its node affinity which nodes reach it. A claim that waits for its first consumer takes, node by
node, the best volume that reaches the node and that no other claim of the pod took, or is left to its class's provisioner.
Source: Kubernetes documentation, "Storage Classes", volume binding mode.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tiffin.api.core.volume_matching import SELECTED_NODE, WAIT, candidates, class_of, requested
from tiffin.machinery.object import Object, annotations_of, dig, is_deleting, name_of
from tiffin.machinery.quantity import as_decimal
from tiffin.scheduler.plugins.base import Rejection
from tiffin.scheduler.plugins.nodes import term_rows
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.state import Mask, State

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
ELSEWHERE = "node(s) didn't match PersistentVolume's node affinity"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


class Storage(Protocol):
    """What is known of claims, volumes and classes."""

    def claim(self, namespace: str, name: str) -> Object | None: ...

    def volume(self, name: str) -> Object | None: ...

    def storage_class(self, name: str) -> Object | None: ...

    def volumes_for(self, claim: Object) -> Iterable[Object]:
        """Volumes that the claim might take, one that is reserved for it first; none that another pod's claim was promised."""
        ...


@dataclass(frozen=True)
class Choice:
    """What a claim gets on a node: a volume, or None where one is to be made."""

    claim: Object
    volume: Object | None


class VolumeBinding:
    name = "VolumeBinding"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def narrowed(self, info: PodInfo, state: State) -> Mask | str | None:
        for name, ephemeral in claims_of(info):
            claim = self._storage.claim(info.namespace, name)
            if claim is None:
                awaited = f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
                return awaited if ephemeral else f'persistentvolumeclaim "{name}" not found'
            if dig(claim, "status", "phase") == "Lost":
                return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{dig(claim, "spec", "volumeName", default="")}"'
            if is_deleting(claim):
                return f'persistentvolumeclaim "{name}" is being deleted'
            if not _is_bound(claim) and not self._waits(claim):
                return "pod has unbound immediate PersistentVolumeClaims"
        return None

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        claims = self._known_claims(info)
        if not claims:
            return ()
        refused = [rejection for claim in claims if _is_bound(claim) for rejection in self._of_bound(claim, state)]
        waiting = _in_order(claim for claim in claims if not _is_bound(claim))
        if waiting:
            refused.append(Rejection(state.alive & ~self._bindable(waiting, state), NOTHING_TO_BIND, False))
        return refused

    def choose(self, info: PodInfo, node: str, state: State) -> Sequence[Choice]:
        """What each claim that waits gets, once the pod has its node."""
        waiting = _in_order(claim for claim in self._known_claims(info) if not _is_bound(claim))
        return self._on_row(waiting, state.rows[node], self._reach(waiting, state), state) or () if waiting else ()

    def _known_claims(self, info: PodInfo) -> list[Object]:
        found = (self._storage.claim(info.namespace, name) for name, _ in claims_of(info))
        return [claim for claim in found if claim is not None]

    def _waits(self, claim: Object) -> bool:
        named = class_of(claim)
        storage_class = self._storage.storage_class(named) if named else None
        return storage_class is not None and storage_class.get("volumeBindingMode") == WAIT

    def _of_bound(self, claim: Object, state: State) -> Sequence[Rejection]:
        volume = self._storage.volume(dig(claim, "spec", "volumeName", default=""))
        if volume is None:
            return (Rejection(state.alive, NO_VOLUME, False),)
        reached = volume_rows(volume, state)
        return () if reached is None else (Rejection(state.alive & ~reached, ELSEWHERE, False),)

    def _bindable(self, waiting: Sequence[Object], state: State) -> Mask:
        """Rows on which every waiting claim can have a volume of its own."""
        reach = self._reach(waiting, state)
        rows = np.zeros(len(state.nodes), bool)
        for row in np.flatnonzero(state.alive):
            rows[row] = self._on_row(waiting, int(row), reach, state) is not None
        return rows

    def _reach(self, waiting: Sequence[Object], state: State) -> Mapping[str, Sequence[tuple[Object, Mask | None]]]:
        """By claim the volumes it might take, best first, with the rows that reach them."""
        return {
            name_of(claim): [(volume, volume_rows(volume, state)) for volume in candidates(claim, self._storage.volumes_for(claim))]
            for claim in waiting
        }

    def _on_row(
        self, waiting: Sequence[Object], row: int, reach: Mapping[str, Sequence[tuple[Object, Mask | None]]], state: State,
    ) -> Sequence[Choice] | None:
        taken: set[str] = set()
        choices = []
        for claim in waiting:
            volume = next((v for v, rows in reach[name_of(claim)] if (rows is None or rows[row]) and name_of(v) not in taken), None)
            if volume is not None:
                taken.add(name_of(volume))
            elif not self._can_be_made(claim, row, state):
                return None
            choices.append(Choice(claim, volume))
        return choices

    def _can_be_made(self, claim: Object, row: int, state: State) -> bool:
        """Whether the class's provisioner may be asked for a volume that reaches the node."""
        chosen = annotations_of(claim).get(SELECTED_NODE)
        if chosen and state.rows.get(chosen) != row:
            return False
        storage_class = self._storage.storage_class(class_of(claim) or "")
        if storage_class is None or storage_class["provisioner"] == NO_PROVISIONER:
            return False
        allowed = storage_class.get("allowedTopologies")
        return not allowed or any(_in_topology(term, row, state) for term in allowed)


def volume_rows(volume: Object, state: State) -> Mask | None:
    """Rows of the nodes that reach a volume; None for all."""
    required = dig(volume, "spec", "nodeAffinity", "required")
    if not required:
        return None
    rows = np.zeros(len(state.nodes), bool)
    for term in required.get("nodeSelectorTerms") or ():
        rows |= term_rows(term, state)
    return rows


def _in_topology(term: Mapping[str, Any], row: int, state: State) -> bool:
    expressions = term.get("matchLabelExpressions") or ()
    return all(any(state.label(e["key"], value)[row] for value in e["values"]) for e in expressions)


def _is_bound(claim: Object) -> bool:
    return bool(dig(claim, "spec", "volumeName")) and BIND_COMPLETED in annotations_of(claim)


def _in_order(claims: Iterable[Object]) -> list[Object]:
    """Small ones first, so that they leave the large volumes to others."""
    return sorted(claims, key=lambda claim: (as_decimal(requested(claim)), name_of(claim)))


def claims_of(info: PodInfo) -> Iterator[tuple[str, bool]]:
    """Names of the claims a pod uses, and whether they are made for it."""
    for volume in info.spec.get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield volume["persistentVolumeClaim"]["claimName"], False
        elif volume.get("ephemeral"):
            yield f"{info.key.name}-{volume['name']}", True
