"""Classes of volume attributes are not deleted while claims or volumes name them: a finalizer holds them until then.

Source: Kubernetes' VolumeAttributesClass protection controller, KEP-3751.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from tiffin.controllers.config import Config
from tiffin.controllers.resources import EVENTS_RULE, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTRIBUTES_CLASSES
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, dig, is_deleting, meta, name_of, replaced
from tiffin.runtime.controller import Changes, Controller, PolicyRule, View, Watch

FINALIZER = "kubernetes.io/vac-protection"
CLASSES = VOLUME_ATTRIBUTES_CLASSES


def classes_of(obj: Object) -> Iterator[str]:
    """The classes that a claim or volume names, has, or is on the way to."""
    paths = (("spec", "volumeAttributesClassName"), ("status", "currentVolumeAttributesClassName"), ("status", "modifyVolumeStatus", "targetVolumeAttributesClassName"))
    yield from {name for path in paths if (name := dig(obj, *path))}


def class_keys(obj: Object, view: View) -> Iterable[Key]:
    return [Key("", name) for name in classes_of(obj)]


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    found = view.get(CLASSES, *key)
    if found is None:
        return Changes()
    finalizers = list(meta(found).get("finalizers") or ())
    held = FINALIZER in finalizers
    users = (user for resource in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES) for user in view.by_index(resource, "attributes", name_of(found)))
    if held and is_deleting(found) and not any(users):
        wanted = [f for f in finalizers if f != FINALIZER]
    elif not held and not is_deleting(found):
        wanted = [*finalizers, FINALIZER]
    else:
        return Changes()
    return Changes(changed(CLASSES, found, replaced(found, ("metadata", "finalizers"), wanted or None)))


def controller(config: Config) -> Controller:
    watches = (
        Watch(CLASSES),
        *(Watch(resource, keys=class_keys, indexes={"attributes": classes_of}) for resource in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES)),
    )
    rules = (
        PolicyRule(("",), ("persistentvolumes", "persistentvolumeclaims"), ("get", "list", "watch")),
        PolicyRule(("storage.k8s.io",), ("volumeattributesclasses",), ("get", "list", "patch", "update", "watch")),
        EVENTS_RULE,
    )
    return Controller("volumeattributesclass-protection-controller", watches, reconcile, rules)
