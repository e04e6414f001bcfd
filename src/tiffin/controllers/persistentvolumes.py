"""Brings claims and volumes together, and says of each what has become of it.

One controller with two kinds of keys: a claim's (with a namespace) and a volume's (without). A pair is bound by four writes in this
order: the volume names the claim, the volume is Bound, the claim names the volume, the claim is Bound. Whatever interrupts them, the next
look finds the volume that names the claim and goes on from there; the guarded first write keeps two claims from one volume.

Volumes are not made or removed here: that is a provisioner's work, which is asked for by annotations. A volume to be deleted that no
provisioner made is Failed, and an event says so; but one that is a directory below /tmp of some node goes as an object, its files are left. Source: Kubernetes documentation, "Persistent Volumes", life cycle.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from tiffin.api.core.volume_matching import candidates, class_of, mode_mismatch, names_claim, unsatisfied, waits_for_pod
from tiffin.api.defaultclass import STORAGE, default_class
from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.pvcprotection import claim_index
from tiffin.controllers.resources import EVENTS_RULE, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from tiffin.controllers.writing import changed, status_changed
from tiffin.machinery.object import Key, Object, annotations_of, dig, is_deleting, meta, name_of, namespace_of, replaced, uid_of
from tiffin.machinery.timestamps import format_time
from tiffin.runtime.controller import Absent, Change, Changes, Controller, Delete, PolicyRule, RecordEvent, View, Watch, no_keys

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONER, OLD_PROVISIONER = "volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"
OWN_PROVISIONERS = "kubernetes.io/"
"""What begins so would be built into the controller; everything else is somebody else's process."""
NO_CLASS = "<none>"


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    if key.namespace:
        claim = view.get(PERSISTENT_VOLUME_CLAIMS, *key)
        return Changes(_claim(claim, view, now) if claim is not None else ())
    volume = view.get(PERSISTENT_VOLUMES, *key)
    return Changes(_volume(volume, view, now) if volume is not None else ())


# claims


def _claim(claim: Object, view: View, now: datetime) -> Sequence[Change]:
    if BIND_COMPLETED in annotations_of(claim):
        return _bound_claim(claim, view, now)
    wanted = dig(claim, "spec", "volumeName")
    return _claim_of_volume(claim, wanted, view, now) if wanted else _unbound_claim(claim, view, now)


def _unbound_claim(claim: Object, view: View, now: datetime) -> Sequence[Change]:
    """A claim that takes any volume."""
    name = class_of(claim)
    storage_class = view.get(STORAGE_CLASSES, "", name) if name else None
    delay = waits_for_pod(claim, storage_class)
    reserved = view.by_index(PERSISTENT_VOLUMES, "claim", f"{namespace_of(claim)}/{name_of(claim)}")
    suitable = candidates(claim, [*reserved, *view.by_index(PERSISTENT_VOLUMES, "class", name or "")], delay=delay)
    if suitable:
        return _bind(suitable[0], claim, now)
    if name is None and (default := default_class(view.list(STORAGE_CLASSES), STORAGE)):
        return changed(PERSISTENT_VOLUME_CLAIMS, claim, replaced(claim, ("spec", "storageClassName"), name_of(default)))
    if delay:
        return [_awaited(claim, view)]
    if not name:
        return [RecordEvent(claim, "Normal", "FailedBinding", "no persistent volumes available for this claim and no storage class is set")]
    return _provision(claim, name, storage_class)


def _awaited(claim: Object, view: View) -> RecordEvent:
    users = view.by_index(PODS, "claim", f"{namespace_of(claim)}/{name_of(claim)}")
    waiting = sorted(name_of(pod) for pod in users if not p.node_name(pod) and not p.is_finished(pod))
    if not waiting:
        return RecordEvent(claim, "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    pods = f"pods {','.join(waiting)}" if len(waiting) > 1 else f"pod {waiting[0]}"
    return RecordEvent(claim, "Normal", "WaitForPodScheduled", f"waiting for {pods} to be scheduled")


def _provision(claim: Object, name: str, storage_class: Object | None) -> Sequence[Change]:
    """Asks the class's provisioner for a volume; it sees the annotation and makes one that names the claim."""
    if storage_class is None:
        return [RecordEvent(claim, "Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')]
    provisioner = storage_class["provisioner"]
    if provisioner.startswith(OWN_PROVISIONERS):
        return [RecordEvent(claim, "Warning", "ProvisioningFailed", f"no volume plugin matched name: {provisioner}")]
    noted = {**annotations_of(claim), PROVISIONER: provisioner, OLD_PROVISIONER: provisioner}
    waiting = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. "
        "If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    )
    writes = changed(PERSISTENT_VOLUME_CLAIMS, claim, replaced(claim, ("metadata", "annotations"), noted))
    return [*writes, RecordEvent(claim, "Normal", "ExternalProvisioning", waiting)]


def _claim_of_volume(claim: Object, wanted: str, view: View, now: datetime) -> Sequence[Change]:
    """A claim that takes only the volume it names."""
    volume = view.get(PERSISTENT_VOLUMES, "", wanted)
    if volume is None:
        return ()
    if names_claim(volume, claim):
        return _bind(volume, claim, now)
    if dig(volume, "spec", "claimRef"):
        return [RecordEvent(claim, "Warning", "FailedBinding", f'volume "{wanted}" already bound to a different claim.')]
    if why := unsatisfied(claim, volume):
        return [RecordEvent(claim, "Warning", "VolumeMismatch", f'Cannot bind to requested volume "{wanted}": {why}')]
    return _bind(volume, claim, now)


def _bound_claim(claim: Object, view: View, now: datetime) -> Sequence[Change]:
    """A claim that had its volume: it keeps it, or is Lost for good."""
    name = dig(claim, "spec", "volumeName")
    if not name:
        return _lost(claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
    volume = view.get(PERSISTENT_VOLUMES, "", name)
    if volume is None:
        lost = _lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
        return [Absent(PERSISTENT_VOLUMES, "", name), *lost] if lost else ()
    if not dig(volume, "spec", "claimRef") or dig(volume, "spec", "claimRef", "uid") == uid_of(claim) or names_claim(volume, claim):
        return _bind(volume, claim, now)
    return _lost(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")


def _lost(claim: Object, reason: str, message: str) -> Sequence[Change]:
    if dig(claim, "status", "phase") == "Lost":
        return ()
    return [*status_changed(PERSISTENT_VOLUME_CLAIMS, claim, {"phase": "Lost"}), RecordEvent(claim, "Warning", reason, message)]


# binding


def _bind(volume: Object, claim: Object, now: datetime) -> Sequence[Change]:
    """Whatever is still missing of the bond, in order."""
    bound_volume, bound_claim = _naming_claim(volume, claim), _naming_volume(claim, volume)
    return [
        *changed(PERSISTENT_VOLUMES, volume, bound_volume),
        *_phase(bound_volume, "Bound", now),
        *changed(PERSISTENT_VOLUME_CLAIMS, claim, bound_claim),
        *status_changed(PERSISTENT_VOLUME_CLAIMS, bound_claim, _bound_status(claim, volume)),
    ]


def _naming_claim(volume: Object, claim: Object) -> Object:
    if dig(volume, "spec", "claimRef", "uid") == uid_of(claim):
        return volume
    reference = {
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace_of(claim), "name": name_of(claim), "uid": uid_of(claim),
        "resourceVersion": meta(claim).get("resourceVersion", ""),
    }
    bound = replaced(volume, ("spec", "claimRef"), reference)
    return bound if names_claim(volume, claim) else _annotated(bound, BOUND_BY_CONTROLLER)


def _naming_volume(claim: Object, volume: Object) -> Object:
    if dig(claim, "spec", "volumeName") != name_of(volume):
        claim = _annotated(replaced(claim, ("spec", "volumeName"), name_of(volume)), BOUND_BY_CONTROLLER)
    return _annotated(claim, BIND_COMPLETED)


def _annotated(obj: Object, annotation: str) -> Object:
    return replaced(obj, ("metadata", "annotations"), {**annotations_of(obj), annotation: "yes"})


def _bound_status(claim: Object, volume: Object) -> Object:
    """What the claim now has; its capacity is left alone later on, where resizing writes it."""
    status = dict(claim.get("status") or {})
    capacity = dig(volume, "spec", "capacity", "storage")
    if status.get("phase") != "Bound" or not status.get("capacity"):
        status["capacity"] = {"storage": capacity}
        if attributes := dig(volume, "spec", "volumeAttributesClassName"):
            status["currentVolumeAttributesClassName"] = attributes
    return status | {"phase": "Bound", "accessModes": list(dig(volume, "spec", "accessModes", default=()))}


# volumes


def _volume(volume: Object, view: View, now: datetime) -> Sequence[Change]:
    reference = dig(volume, "spec", "claimRef")
    if not reference or not reference.get("uid"):
        return _phase(volume, "Available", now)
    claim = view.get(PERSISTENT_VOLUME_CLAIMS, reference.get("namespace") or "", reference.get("name") or "")
    if claim is None or uid_of(claim) != reference["uid"]:
        return _released(volume, reference, now)
    wanted = dig(claim, "spec", "volumeName")
    if wanted == name_of(volume):
        return _phase(volume, "Bound", now)
    if wanted:
        return _unbind(volume, now)
    if mode_mismatch(claim, volume):
        message = "Cannot bind PersistentVolume to requested PersistentVolumeClaim \"%s\" due to incompatible volumeMode."
        return [RecordEvent(volume, "Warning", "VolumeMismatch", message % name_of(claim))]
    return ()  # the claim's own turn completes the bond


def _released(volume: Object, reference: Object, now: datetime) -> Sequence[Change]:
    """The claim is gone. Whether it really is, the server is asked, for data may depend on it."""
    if dig(volume, "status", "phase") not in ("Released", "Failed"):
        gone = Absent(PERSISTENT_VOLUME_CLAIMS, reference.get("namespace") or "", reference.get("name") or "", reference["uid"])
        return [gone, *_phase(volume, "Released", now)]
    policy = dig(volume, "spec", "persistentVolumeReclaimPolicy")
    if policy == "Recycle":
        return _failed(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!", now)
    if policy == "Delete" and not _has_provisioner(volume):
        if path := dig(volume, "spec", "hostPath", "path"):
            return _deleted_directory(volume, path, now)
        why = f'error getting deleter volume plugin for volume "{name_of(volume)}": no deletable volume plugin matched'
        return _failed(volume, "VolumeFailedDelete", why, now)
    return ()


def _deleted_directory(volume: Object, path: str, now: datetime) -> Sequence[Change]:
    """A node's directory, which only tests keep their data in where it is below /tmp."""
    if re.search("/tmp/.+", path):
        return [Delete(PERSISTENT_VOLUMES, "", name_of(volume), uid=uid_of(volume))] if not is_deleting(volume) else ()
    return _failed(volume, "VolumeFailedDelete", f"host_path deleter only supports /tmp/.+ but received provided {path}", now)


def _has_provisioner(volume: Object) -> bool:
    """Whether somebody else's process deletes the volume."""
    made_by = annotations_of(volume).get(PROVISIONED_BY, "")
    return bool(dig(volume, "spec", "csi")) or (bool(made_by) and not made_by.startswith(OWN_PROVISIONERS))


def _failed(volume: Object, reason: str, message: str, now: datetime) -> Sequence[Change]:
    if dig(volume, "status", "phase") == "Failed":
        return ()
    return [*_phase(volume, "Failed", now, message), RecordEvent(volume, "Warning", reason, message)]


def _unbind(volume: Object, now: datetime) -> Sequence[Change]:
    """The claim went elsewhere: the volume is free again, or reserved by name if that is how it came."""
    if BOUND_BY_CONTROLLER in annotations_of(volume):
        kept = {key: value for key, value in annotations_of(volume).items() if key != BOUND_BY_CONTROLLER}
        free = replaced(replaced(volume, ("spec", "claimRef"), None), ("metadata", "annotations"), kept or None)
    else:
        reference = {key: value for key, value in volume["spec"]["claimRef"].items() if key not in ("uid", "resourceVersion")}
        free = replaced(volume, ("spec", "claimRef"), reference)
    return [*changed(PERSISTENT_VOLUMES, volume, free), *_phase(free, "Available", now)]


def _phase(volume: Object, phase: str, now: datetime, message: str = "") -> Sequence[Change]:
    status = volume.get("status") or {}
    if status.get("phase") == phase:
        return ()
    said = {"phase": phase, "lastPhaseTransitionTime": format_time(now)} | ({"message": message} if message else {})
    return status_changed(PERSISTENT_VOLUMES, volume, said)


# who is to be looked at


def _keys_of_claim(claim: Object, view: View) -> Iterable[Key]:
    yield Key(namespace_of(claim), name_of(claim))
    if name := dig(claim, "spec", "volumeName"):
        yield Key("", name)
    for volume in view.by_index(PERSISTENT_VOLUMES, "claim", f"{namespace_of(claim)}/{name_of(claim)}"):
        yield Key("", name_of(volume))


def _keys_of_volume(volume: Object, view: View) -> Iterable[Key]:
    yield Key("", name_of(volume))
    reference = dig(volume, "spec", "claimRef")
    if reference:
        yield Key(reference.get("namespace") or "", reference.get("name") or "")
    else:
        yield from _unbound(class_of(volume) or "", view)
    for claim in view.by_index(PERSISTENT_VOLUME_CLAIMS, "volume", name_of(volume)):
        yield Key(namespace_of(claim), name_of(claim))


def _keys_of_class(storage_class: Object, view: View) -> Iterable[Key]:
    yield from _unbound(name_of(storage_class), view)
    yield from _unbound(NO_CLASS, view)


def _unbound(of_class: str, view: View) -> Iterable[Key]:
    return [Key(namespace_of(claim), name_of(claim)) for claim in view.by_index(PERSISTENT_VOLUME_CLAIMS, "unbound", of_class)]


def _unbound_index(claim: Object) -> Iterable[str]:
    if BIND_COMPLETED in annotations_of(claim):
        return ()
    name = class_of(claim)
    return ("", NO_CLASS) if name is None else (name,)


def _claim_index(volume: Object) -> Iterable[str]:
    reference = dig(volume, "spec", "claimRef")
    return (f"{reference.get('namespace')}/{reference.get('name')}",) if reference else ()


def _free_index(volume: Object) -> Iterable[str]:
    return () if dig(volume, "spec", "claimRef") else (class_of(volume) or "",)


def _volume_index(claim: Object) -> Iterable[str]:
    name = dig(claim, "spec", "volumeName")
    return (name,) if name else ()


def controller(config: Config) -> Controller:
    watches = (
        Watch(PERSISTENT_VOLUME_CLAIMS, _keys_of_claim, {"unbound": _unbound_index, "volume": _volume_index}),
        Watch(PERSISTENT_VOLUMES, _keys_of_volume, {"claim": _claim_index, "class": _free_index}),
        Watch(STORAGE_CLASSES, _keys_of_class),
        Watch(PODS, no_keys, {"claim": claim_index}),
    )
    rules = (
        PolicyRule(("",), ("persistentvolumes", "persistentvolumeclaims"), ("delete", "get", "list", "patch", "update", "watch")),
        PolicyRule(("",), ("persistentvolumes/status", "persistentvolumeclaims/status"), ("patch", "update")),
        PolicyRule(("storage.k8s.io",), ("storageclasses",), ("get", "list", "watch")),
        PolicyRule(("",), ("pods",), ("get", "list", "watch")),
        EVENTS_RULE,
    )
    return Controller("persistent-volume-binder", watches, reconcile, rules, component="persistentvolume-controller")
