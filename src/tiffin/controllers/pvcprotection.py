"""Claims that pods use are not deleted beneath them: a finalizer holds them until no pod on a node uses them.

Only pods that are bound to a node and have not ended count: no kubelet starts a pod whose claim is being deleted, so one that is bound
after our look does no harm. Source: Kubernetes' PVC protection controller, as documented.
"""
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.resources import EVENTS_RULE, PERSISTENT_VOLUME_CLAIMS, PODS
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, dig, is_deleting, meta, name_of, namespace_of, replaced
from tiffin.runtime.controller import Changes, Controller, PolicyRule, View, Watch

FINALIZER = "kubernetes.io/pvc-protection"


def claims_of(pod: Object) -> list[str]:
    """Names of the claims a pod mounts, those made for its ephemeral volumes among them."""
    volumes = dig(pod, "spec", "volumes", default=())
    named = [v["persistentVolumeClaim"]["claimName"] for v in volumes if v.get("persistentVolumeClaim")]
    return named + [f"{name_of(pod)}-{v['name']}" for v in volumes if v.get("ephemeral")]


def claim_index(pod: Object) -> Iterable[str]:
    """The index "claim": namespace and name of every claim the pod mounts."""
    return [f"{namespace_of(pod)}/{name}" for name in claims_of(pod)]


def claim_keys(pod: Object, view: View) -> Iterable[Key]:
    return [Key(namespace_of(pod), name) for name in claims_of(pod)]


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    claim = view.get(PERSISTENT_VOLUME_CLAIMS, *key)
    if claim is None:
        return Changes()
    finalizers = list(meta(claim).get("finalizers") or ())
    held = FINALIZER in finalizers
    if held and is_deleting(claim):
        users = view.by_index(PODS, "claim", f"{key.namespace}/{key.name}")
        if any(p.node_name(pod) and not p.is_finished(pod) for pod in users):
            return Changes()
        kept = [f for f in finalizers if f != FINALIZER]
        return Changes(changed(PERSISTENT_VOLUME_CLAIMS, claim, replaced(claim, ("metadata", "finalizers"), kept or None)))
    if not held and not is_deleting(claim):
        return Changes(changed(PERSISTENT_VOLUME_CLAIMS, claim, replaced(claim, ("metadata", "finalizers"), [*finalizers, FINALIZER])))
    return Changes()


def controller(config: Config) -> Controller:
    watches = (Watch(PERSISTENT_VOLUME_CLAIMS), Watch(PODS, keys=claim_keys, indexes={"claim": claim_index}))
    rules = (
        PolicyRule(("",), ("persistentvolumeclaims",), ("get", "list", "patch", "update", "watch")),
        PolicyRule(("",), ("pods",), ("get", "list", "watch")),
        EVENTS_RULE,
    )
    return Controller("pvc-protection-controller", watches, reconcile, rules)
