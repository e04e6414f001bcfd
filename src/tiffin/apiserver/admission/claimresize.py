"""PersistentVolumeClaimResize: a claim may only grow, when bound, and where its class says volumes can."""

from __future__ import annotations

from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.admission.classes import STORAGE_CLASSES
from tiffin.apiserver.ports import Reader
from tiffin.machinery.object import Object, annotations_of, dig
from tiffin.machinery.quantity import compare


class PersistentVolumeClaimResize(Plugin):
    resources = ("persistentvolumeclaims",)
    operations = ("UPDATE",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.subresource or obj is None or old is None:
            return
        size, before = (dig(claim, "spec", "resources", "requests", "storage", default="0") for claim in (obj, old))
        if compare(size, before) <= 0:
            return
        if dig(old, "status", "phase") != "Bound":
            raise forbidden(a, obj, "Only bound persistent volume claims can be expanded")
        if not self._can_grow(obj):
            message = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
            raise forbidden(a, obj, message)

    def _can_grow(self, claim: Object) -> bool:
        name = annotations_of(claim).get("volume.beta.kubernetes.io/storage-class") or dig(claim, "spec", "storageClassName")
        storage_class = self._reader.get(STORAGE_CLASSES, "", name) if name else None
        return bool(storage_class and storage_class.get("allowVolumeExpansion"))
