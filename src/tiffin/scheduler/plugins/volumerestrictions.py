"""Filters by volumes that are not claimed but have: VolumeRestrictions and VolumeZone.

* A claim for one pod (ReadWriteOncePod) that a pod on any node uses keeps others from every node.
* Disks that only one node or one writer may have keep pods from the nodes where somebody has them.
* A bound volume that carries zone or region labels is reached by nodes of the same zone and region; nodes that say neither are not judged.

Source: core/v1 volume sources, Kubernetes documentation, "Persistent Volumes", access modes, and the well-known topology labels.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tiffin.machinery.object import dig, labels_of
from tiffin.scheduler.plugins.base import Rejection
from tiffin.scheduler.plugins.volumes import Storage, claims_of
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.state import Mask, State

IN_USE = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
DISK_TAKEN = "node(s) had no available disk"
OTHER_ZONE = "node(s) had no available volume zone"
DISKS = ("gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd")
TOPOLOGY = {
    "topology.kubernetes.io/zone": "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region": "failure-domain.beta.kubernetes.io/region",
}
"""Keys that volumes and nodes are labelled with, and the elder name of each."""
SEVERAL = "__"
"""Between the zones of a volume that is in several."""


class VolumeRestrictions:
    name = "VolumeRestrictions"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def narrowed(self, info: PodInfo, state: State) -> str | None:
        """A claim that is not there: what it restricts is not known."""
        missing = next((name for name, ephemeral in claims_of(info) if not ephemeral and self._storage.claim(info.namespace, name) is None), None)
        return None if missing is None else f'persistentvolumeclaim "{missing}" not found'

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        if not info.spec.get("volumes"):
            return ()
        found = []
        disks = self._rows_of_disks(info, state)
        if disks is not None:
            found.append(Rejection(disks, DISK_TAKEN, True))
        if self._is_claim_in_use(info, state):
            found.append(Rejection(state.alive if disks is None else state.alive & ~disks, IN_USE, True))
        return found

    def _is_claim_in_use(self, info: PodInfo, state: State) -> bool:
        exclusive = {name for name, _ in claims_of(info) if self._is_exclusive(info.namespace, name)}
        others = (p for p in state.pods.values() if exclusive and p.namespace == info.namespace and p.uid != info.uid)
        return any(name in exclusive for p in others for name, _ in claims_of(p))

    def _is_exclusive(self, namespace: str, name: str) -> bool:
        return "ReadWriteOncePod" in dig(self._storage.claim(namespace, name) or {}, "spec", "accessModes", default=())

    @staticmethod
    def _rows_of_disks(info: PodInfo, state: State) -> Mask | None:
        wanted = [volume for volume in info.spec["volumes"] if any(kind in volume for kind in DISKS)]
        if not wanted:
            return None
        rows = np.zeros(len(state.nodes), bool)
        for other in state.pods.values():
            there = other.spec.get("volumes") or ()
            if any(_conflict(mine, theirs) for mine in wanted for theirs in there):
                rows[state.rows[other.node]] = True
        return rows if rows.any() else None


def _conflict(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two volumes are one disk that both cannot have."""
    for kind in DISKS:
        if kind in a and kind in b and _same_disk(kind, a[kind], b[kind]):
            return kind == "awsElasticBlockStore" or not (a[kind].get("readOnly") and b[kind].get("readOnly"))
    return False


def _same_disk(kind: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    match kind:
        case "gcePersistentDisk":
            return bool(a["pdName"] == b["pdName"])
        case "awsElasticBlockStore":
            return bool(a["volumeID"] == b["volumeID"])
        case "iscsi":
            return bool(a["iqn"] == b["iqn"])
        case _:
            same = (a.get("pool"), a["image"]) == (b.get("pool"), b["image"])
            return same and bool(set(a["monitors"]) & set(b["monitors"]))


class VolumeZone:
    name = "VolumeZone"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        wanted = [pair for name, _ in claims_of(info) for pair in self._places(info.namespace, name)]
        if not wanted:
            return ()
        rows = np.array([node is not None and not _is_in(labels_of(node), wanted) for node in state.nodes])
        return (Rejection(rows, OTHER_ZONE, False),) if rows.any() else ()

    def _places(self, namespace: str, name: str) -> list[tuple[str, set[str]]]:
        """The topology keys of the claim's volume, with the values it is reached from."""
        volume = self._storage.volume(dig(self._storage.claim(namespace, name) or {}, "spec", "volumeName", default=""))
        labels = labels_of(volume or {})
        return [(key, set(labels[key].split(SEVERAL))) for pair in TOPOLOGY.items() for key in pair if key in labels]


def _is_in(labels: Mapping[str, str], wanted: Sequence[tuple[str, set[str]]]) -> bool:
    if not any(key in labels for pair in TOPOLOGY.items() for key in pair):
        return True
    newer = {elder: key for key, elder in TOPOLOGY.items()}
    return all(labels.get(key, labels.get(newer.get(key, key))) in values for key, values in wanted)
