"""How workloads were written before apps/v1: what was filled in that v1 asks for, and fields that became annotations.

The first versions took labels and selector from the pod template; apps/v1beta2 does not. `rollbackTo` of a Deployment and
`templateGeneration` of a DaemonSet are annotations in v1. Source: the defaults and conversions of Kubernetes 1.15.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.kind import Subresource, Version
from tiffin.api.legacy.definitions import HEAD, Fields, Package
from tiffin.api.legacy.retired import annotated
from tiffin.machinery.object import Object, annotations_of, dig, meta

ROLLBACK, TEMPLATE_GENERATION = "deprecated.deployment.rollback.to", "deprecated.daemonset.template.generation"
MOST = (1 << 31) - 1
ROLLBACK_CHANGES: dict[str, Fields] = {
    "DeploymentSpec": {"selector": "*@io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", "rollbackTo": "*@.RollbackConfig"},
    "RollbackConfig": {"revision": "l"},
    "DeploymentRollback": {
        "kind": HEAD["kind"], "apiVersion": HEAD["apiVersion"], "name": "+!s", "updatedAnnotations": "{s", "rollbackTo": "+!@.RollbackConfig"},
}
ROLLBACK_TEXTS = {
    "DeploymentSpec": {"rollbackTo": "The revision to go back to. It is cleared when that has been done."},
    "RollbackConfig": {"": "Where to go back to.", "revision": "The revision to go back to; 0 is the one before the present."},
    "DeploymentRollback": {
        "": "Asks a Deployment to go back to an earlier revision.", "name": "The name of the Deployment.",
        "updatedAnnotations": "Annotations to set on the Deployment.", "rollbackTo": "The revision to go back to."},
}
SCALE_TEXTS = {"ScaleStatus": {
    "selector": "The labels that pods have to have, where the selector asks for nothing else.",
    "targetSelector": "The selector of the pods as text, in the form of a query parameter."}}
SCALE_CHANGES: dict[str, Fields] = {"ScaleStatus": {"selector": ["{s", {"mt": "atomic"}], "targetSelector": "s"}}
OPTIONAL_SELECTOR = "*@io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"


# defaults

def labels_of_template(obj: Object) -> None:
    """Takes the selector and the object's own labels from the template, where they are not given."""
    labels = dig(obj, "spec", "template", "metadata", "labels")
    if labels:
        if obj["spec"].get("selector") is None:
            obj["spec"]["selector"] = {"matchLabels": dict(labels)}
        if not meta(obj).get("labels"):
            obj.setdefault("metadata", {})["labels"] = dict(labels)


def first_deployment(obj: Object) -> None:
    """extensions/v1beta1: one pod more and one less during updates, no history is cut, no deadline."""
    _deployment(obj, 1, MOST, MOST)


def second_deployment(obj: Object) -> None:
    """apps/v1beta1: a quarter more and less, two old replica sets."""
    _deployment(obj, "25%", 2, 600)


def _deployment(obj: Object, step: int | str, history: int, deadline: int) -> None:
    labels_of_template(obj)
    spec = obj.setdefault("spec", {})
    strategy = spec.setdefault("strategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        rolling.setdefault("maxUnavailable", step)
        rolling.setdefault("maxSurge", step)
    spec.setdefault("revisionHistoryLimit", history)
    spec.setdefault("progressDeadlineSeconds", deadline)


def on_delete(obj: Object) -> None:
    """The first daemon sets and stateful sets replaced a pod when somebody deleted it, unless told otherwise."""
    labels_of_template(obj)
    strategy = obj.setdefault("spec", {}).setdefault("updateStrategy", {})
    strategy["type"] = strategy.get("type") or "OnDelete"


# conversions

def deployment_from_v1(obj: Object) -> Object:
    wanted = annotations_of(obj).get(ROLLBACK)
    if wanted is None:
        return obj
    revision = int(wanted) if wanted.lstrip("-").isdecimal() and len(wanted) < 19 else 0
    return {**annotated(obj, ROLLBACK, None), "spec": {**(obj.get("spec") or {}), "rollbackTo": {"revision": revision} if revision else {}}}


def deployment_to_v1(obj: Object) -> Object:
    spec = obj.get("spec") or {}
    wanted = spec.get("rollbackTo")
    if "rollbackTo" not in spec:
        return obj
    rest = {**obj, "spec": {key: value for key, value in spec.items() if key != "rollbackTo"}}
    return rest if wanted is None else annotated(rest, ROLLBACK, str(wanted.get("revision") or 0))


def daemonset_from_v1(obj: Object) -> Object:
    text = annotations_of(obj).get(TEMPLATE_GENERATION, "")
    if not text.isdecimal() or len(text) > 18:
        return obj
    return {**annotated(obj, TEMPLATE_GENERATION, None), "spec": {**(obj.get("spec") or {}), "templateGeneration": int(text)}}


def daemonset_to_v1(obj: Object) -> Object:
    spec = obj.get("spec") or {}
    if "templateGeneration" not in spec:
        return obj
    rest = {**obj, "spec": {key: value for key, value in spec.items() if key != "templateGeneration"}}
    return annotated(rest, TEMPLATE_GENERATION, str(spec["templateGeneration"] or 0))


# subresources

def scale_in(package: Package) -> Subresource:
    """The scale subresource with the Scale of an old package."""
    api_version = f"{package.group}/{package.version}"

    def from_v1(scale: Object) -> Object:
        status = dict(scale.get("status") or {})
        text = status.pop("selector", None)
        labels = _labels_of(text) if text else None
        status |= ({"selector": labels} if labels else {}) | ({"targetSelector": text} if text else {})
        return {**scale, "apiVersion": api_version, **({"status": status} if "status" in scale else {})}

    def to_v1(scale: Object) -> Object:
        status = dict(scale.get("status") or {})
        text, labels = status.pop("targetSelector", None), status.pop("selector", None)
        text = text or ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))
        status |= {"selector": text} if text else {}
        return {**scale, "apiVersion": "autoscaling/v1", **({"status": status} if "status" in scale else {})}

    version = Version(package.group, package.version, package.schema("Scale"), from_v1, to_v1, owned_as_stored=True)
    return Subresource("scale", body=(package.group, package.version, "Scale"), body_version=version)


def _labels_of(text: str) -> dict[str, str] | None:
    """The labels that a selector demands, where it demands nothing else."""
    pairs: list[Any] = [part.partition("=") for part in text.split(",")]
    plain = all(equals and key.isprintable() and not set("!() =") & set(key + value) for key, equals, value in pairs)
    return {key: value for key, _, value in pairs} if plain else None


def rollback_in(package: Package) -> Subresource:
    """The rollback subresource, which asks for an earlier revision."""
    return Subresource("rollback", verbs=("create",), body=(package.group, package.version, "DeploymentRollback"))
