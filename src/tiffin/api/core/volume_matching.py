"""Which PersistentVolume suits a claim: the one rule that the binding controller and the scheduler share.

A volume that already names the claim comes first. Of the others, those with the fewest access modes beyond the claim's are looked at first,
and among these the smallest that is large enough wins. Source: Kubernetes documentation, "Persistent Volumes", binding.
"""
from __future__ import annotations

from collections.abc import Iterable

from tiffin.machinery import quantity
from tiffin.machinery.object import Object, annotations_of, dig, is_deleting, labels_of, name_of, namespace_of, uid_of
from tiffin.machinery.selectors import from_label_selector

OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
"""The annotation by which a class was named before there was a field; it still wins."""
SELECTED_NODE = "volume.kubernetes.io/selected-node"
"""On a claim: the node that the scheduler chose, for which a volume is to be provisioned."""
WAIT = "WaitForFirstConsumer"


def class_of(obj: Object) -> str | None:
    """The storage class of a claim or volume; None only for a claim that leaves the choice to the cluster."""
    named = annotations_of(obj).get(OLD_CLASS)
    return named if named is not None else dig(obj, "spec", "storageClassName")


def requested(claim: Object) -> str:
    """The storage a claim asks for, as a quantity."""
    return dig(claim, "spec", "resources", "requests", "storage", default="0")


def waits_for_pod(claim: Object, storage_class: Object | None) -> bool:
    """Whether the claim is bound only once a pod that uses it has been given a node."""
    if storage_class is None or storage_class.get("volumeBindingMode") != WAIT:
        return False
    return not annotations_of(claim).get(SELECTED_NODE)


def names_claim(volume: Object, claim: Object) -> bool:
    """Whether the volume is bound to the claim or reserved for it by name."""
    reference = dig(volume, "spec", "claimRef")
    if not reference or (reference.get("namespace"), reference.get("name")) != (namespace_of(claim), name_of(claim)):
        return False
    return not reference.get("uid") or reference["uid"] == uid_of(claim)


def mode_mismatch(claim: Object, volume: Object) -> bool:
    """Whether one wants a file system and the other offers a block device."""
    return (dig(claim, "spec", "volumeMode") or "Filesystem") != (dig(volume, "spec", "volumeMode") or "Filesystem")


def unsatisfied(claim: Object, volume: Object) -> str:
    """Why the claim may not have the volume that it asks for by name; empty where it may."""
    if quantity.compare(dig(volume, "spec", "capacity", "storage", default="0"), requested(claim)) < 0:
        return "requested PV is too small"
    if (class_of(volume) or "") != (class_of(claim) or ""):
        return "storageClassName does not match"
    if mode_mismatch(claim, volume):
        return "incompatible volumeMode"
    if _attributes_class(claim) != _attributes_class(volume):
        return "VolumeAttributesClassName does not match"
    if not _modes(claim) <= _modes(volume):
        return "incompatible accessMode"
    return ""


def candidates(claim: Object, volumes: Iterable[Object], *, delay: bool = False) -> list[Object]:
    """The volumes the claim could have, the best first. One that names the claim leaves no choice; with `delay` only that counts."""
    free = []
    for volume in volumes:
        if dig(volume, "spec", "claimRef"):
            if names_claim(volume, claim) and not is_deleting(volume) and not mode_mismatch(claim, volume) and _is_large_enough(claim, volume):
                return [volume]
        elif not delay and _fits(claim, volume):
            free.append(volume)
    return sorted(free, key=_preference)


def _fits(claim: Object, volume: Object) -> bool:
    if dig(volume, "status", "phase") != "Available" or is_deleting(volume) or mode_mismatch(claim, volume):
        return False
    if (class_of(volume) or "") != (class_of(claim) or "") or _attributes_class(claim) != _attributes_class(volume):
        return False
    selector = dig(claim, "spec", "selector")
    if selector is not None and not from_label_selector(selector).matches(labels_of(volume)):
        return False
    return _modes(claim) <= _modes(volume) and _is_large_enough(claim, volume)


def _is_large_enough(claim: Object, volume: Object) -> bool:
    return quantity.compare(dig(volume, "spec", "capacity", "storage", default="0"), requested(claim)) >= 0


def _preference(volume: Object) -> tuple[int, object, str]:
    return len(_modes(volume)), quantity.as_decimal(dig(volume, "spec", "capacity", "storage", default="0")), name_of(volume)


def _modes(obj: Object) -> set[str]:
    return set(dig(obj, "spec", "accessModes", default=()))


def _attributes_class(obj: Object) -> str:
    return dig(obj, "spec", "volumeAttributesClassName") or ""
