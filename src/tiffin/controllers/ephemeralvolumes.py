"""Claims of generic ephemeral volumes: made from the pod's own template, named after pod and volume, and gone with the pod.

A claim of that name that is not the pod's is never used: an event says so, and the pod waits.

Source: Kubernetes' ephemeral volume controller, KEP-1698.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from tiffin.controllers.config import Config
from tiffin.controllers.owners import controller_reference
from tiffin.controllers.resources import EVENTS_RULE, PERSISTENT_VOLUME_CLAIMS, PODS
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key, Object, controller_of, dig, is_deleting, key_of, meta, name_of, namespace_of, uid_of
from tiffin.runtime.controller import Change, Changes, Controller, Create, PolicyRule, RecordEvent, View, Watch


def ephemeral_volumes(pod: Object) -> list[Object]:
    return [volume for volume in dig(pod, "spec", "volumes", default=()) if volume.get("ephemeral")]


def pod_keys(pod: Object, view: View) -> Iterable[Key]:
    return (key_of(pod),) if ephemeral_volumes(pod) and not is_deleting(pod) else ()


def claim_keys(claim: Object, view: View) -> Iterable[Key]:
    """The pod a claim was made for, once the claim is gone."""
    reference = controller_of(claim)
    if reference and reference.get("kind") == "Pod" and view.get(PERSISTENT_VOLUME_CLAIMS, *key_of(claim)) is None:
        yield Key(namespace_of(claim), reference["name"])


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    pod = view.get(PODS, *key)
    if pod is None or is_deleting(pod):
        return Changes()
    changes: list[Change] = []
    for volume in ephemeral_volumes(pod):
        claim = view.get(PERSISTENT_VOLUME_CLAIMS, key.namespace, claim_name(pod, volume))
        if claim is None:
            changes.append(Create(PERSISTENT_VOLUME_CLAIMS, made(pod, volume), ignore_exists=True))
        elif (controller_of(claim) or {}).get("uid") != uid_of(pod):
            foreign = f"PVC {key.namespace}/{name_of(claim)} was not created for pod {key.namespace}/{name_of(pod)} (pod is not owner)"
            return Changes([*changes, _told(pod, volume["name"], foreign)])
    return Changes(changes, failed=lambda change, error: _failed(pod, change, error))


def claim_name(pod: Object, volume: Object) -> str:
    return f"{name_of(pod)}-{volume['name']}"


def made(pod: Object, volume: Object) -> Object:
    """The claim for one of a pod's volumes."""
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    kept = {name: meta(template)[name] for name in ("annotations", "labels") if meta(template).get(name)}
    metadata = {"name": claim_name(pod, volume), "namespace": namespace_of(pod), **kept, "ownerReferences": [controller_reference(pod)]}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template.get("spec") or {}}


def _told(pod: Object, volume: str, error: str) -> RecordEvent:
    return RecordEvent(pod, "Warning", "FailedBinding", f"ephemeral volume {volume}: {error}")


def _failed(pod: Object, change: Change, error: ApiError) -> Sequence[Change]:
    if not isinstance(change, Create):
        return ()
    volume = name_of(change.obj).removeprefix(f"{name_of(pod)}-")
    return (_told(pod, volume, f"create PVC {name_of(change.obj)}: {error.message}"),)


def controller(config: Config) -> Controller:
    watches = (Watch(PODS, keys=pod_keys), Watch(PERSISTENT_VOLUME_CLAIMS, keys=claim_keys))
    rules = (
        PolicyRule(("",), ("pods",), ("get", "list", "watch")),
        PolicyRule(("",), ("pods/finalizers",), ("update",)),
        PolicyRule(("",), ("persistentvolumeclaims",), ("create", "get", "list", "watch")),
        EVENTS_RULE,
    )
    return Controller("ephemeral-volume-controller", watches, reconcile, rules, component="ephemeral_volume")
