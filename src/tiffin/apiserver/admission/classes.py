"""Defaults by class: DefaultStorageClass, DefaultIngressClass, RuntimeClass; and StorageObjectInUseProtection."""

from __future__ import annotations

from typing import Any

from tiffin.api.defaultclass import INGRESS, STORAGE, default_class
from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.ports import Reader
from tiffin.machinery.object import Object, Resource, annotations_of, dig, name_of
from tiffin.machinery.quantity import compare

STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses")
INGRESS_CLASSES = Resource("networking.k8s.io", "v1", "ingressclasses")
RUNTIME_CLASSES = Resource("node.k8s.io", "v1", "runtimeclasses")


class DefaultStorageClass(Plugin):
    """A claim that names no class gets the default one; an empty name means none."""

    resources = ("persistentvolumeclaims",)
    operations = ("CREATE",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.subresource or obj is None or obj["spec"].get("storageClassName") is not None:
            return
        if "volume.beta.kubernetes.io/storage-class" in annotations_of(obj):
            return
        if default := default_class(self._reader.list(STORAGE_CLASSES), STORAGE):
            obj["spec"]["storageClassName"] = name_of(default)


class DefaultIngressClass(Plugin):
    """An ingress that names no class gets the default one."""

    resources = ("ingresses.networking.k8s.io",)
    operations = ("CREATE",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.subresource or obj is None or dig(obj, "spec", "ingressClassName") is not None:
            return
        if "kubernetes.io/ingress.class" in annotations_of(obj):
            return
        if default := default_class(self._reader.list(INGRESS_CLASSES), INGRESS):
            obj.setdefault("spec", {})["ingressClassName"] = name_of(default)


_PROTECTION = {"persistentvolumes": "kubernetes.io/pv-protection", "persistentvolumeclaims": "kubernetes.io/pvc-protection"}
_PROTECTION_BY_GROUP = {**_PROTECTION, "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection"}


class StorageObjectInUseProtection(Plugin):
    """Volumes and claims are born with the finalizer that keeps them while they are in use."""

    resources = tuple(_PROTECTION_BY_GROUP)
    operations = ("CREATE",)

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        finalizer = _PROTECTION_BY_GROUP[a.group_resource]
        if not a.subresource and obj is not None and finalizer not in (obj["metadata"].get("finalizers") or ()):
            obj["metadata"]["finalizers"] = [*(obj["metadata"].get("finalizers") or ()), finalizer]


class RuntimeClass(Plugin):
    """What a pod's runtime class says of overhead and placement becomes part of the pod."""

    resources = ("pods",)
    operations = ("CREATE",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        runtime_class = self._class_of(a, obj)
        if obj is None or runtime_class is None:
            return
        spec = obj["spec"]
        overhead = dig(runtime_class, "overhead", "podFixed")
        if overhead:
            if spec.get("overhead") and not _same(spec["overhead"], overhead):
                raise forbidden(a, obj, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec["overhead"] = dict(overhead)
        self._place(a, obj, runtime_class.get("scheduling") or {})

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if obj is None or a.subresource:
            return
        runtime_class = self._class_of(a, obj)
        overhead, defined = obj["spec"].get("overhead"), dig(runtime_class, "overhead", "podFixed")
        if defined and not _same(overhead or {}, defined):
            raise forbidden(a, obj, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        if overhead and not defined:
            raise forbidden(a, obj, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")

    def _class_of(self, a: AdmissionAttributes, obj: Object | None) -> Object | None:
        name = obj["spec"].get("runtimeClassName") if obj is not None and not a.subresource else None
        if not name:
            return None
        found = self._reader.get(RUNTIME_CLASSES, "", name)
        if found is None:
            raise forbidden(a, obj, f'pod rejected: RuntimeClass "{name}" not found')
        return found

    @staticmethod
    def _place(a: AdmissionAttributes, obj: Object, scheduling: dict[str, Any]) -> None:
        spec = obj["spec"]
        wanted, own = scheduling.get("nodeSelector") or {}, spec.get("nodeSelector") or {}
        for key, value in sorted(wanted.items()):
            if own.get(key, value) != value:
                text = f"runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own[key]}"
                raise forbidden(a, obj, f"conflict: {text}")
        if wanted:
            spec["nodeSelector"] = {**own, **wanted}
        tolerations = [t for t in scheduling.get("tolerations") or () if t not in (spec.get("tolerations") or ())]
        if tolerations:
            spec["tolerations"] = [*(spec.get("tolerations") or ()), *tolerations]


def _same(a: dict[str, str], b: dict[str, str]) -> bool:
    return a.keys() == b.keys() and all(compare(a[key], b[key]) == 0 for key in a)
