"""LimitRanger: defaults and bounds for what containers, pods and claims of a namespace ask for.

Containers get default requests and limits where they name none, told in an annotation. Then every bound of every LimitRange
is checked, and all violations are told at once. Updates of pods are not looked at, for they cannot change resources (a resize
can, and is). Source: Kubernetes documentation "Limit Ranges"; recorded messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tiffin.api.core.podspec.resources import pod_limits, pod_requests
from tiffin.apiserver.admission.attributes import AdmissionAttributes, aggregated, forbidden
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.ports import Reader
from tiffin.machinery.object import Object, Resource, dig
from tiffin.machinery.quantity import as_decimal, compare, sign

LIMIT_RANGES = Resource("", "v1", "limitranges")
ANNOTATION = "kubernetes.io/limit-ranger"

Amounts = Mapping[str, str]


class LimitRanger(Plugin):
    resources = ("pods", "persistentvolumeclaims")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.group_resource != "pods" or a.operation != "CREATE" or a.subresource or obj is None:
            return
        for limit_range in self._reader.list(LIMIT_RANGES, a.namespace):
            _complete(obj, limit_range)

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if obj is None or not _is_checked(a) or (old is not None and old["metadata"].get("deletionTimestamp")):
            return
        for limit_range in self._reader.list(LIMIT_RANGES, a.namespace):
            limits = dig(limit_range, "spec", "limits", default=[])
            check = _pod_violations if a.group_resource == "pods" else _claim_violations
            violations = [message for limit in limits for message in check(limit, obj)]
            if violations:
                raise forbidden(a, obj, aggregated(violations))


def _is_checked(a: AdmissionAttributes) -> bool:
    if a.group_resource == "pods" and a.operation == "UPDATE":
        return a.subresource == "resize"
    return not a.subresource


def _complete(pod: Object, limit_range: Object) -> None:
    """Gives containers the defaults of one LimitRange and notes what was given."""
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for limit in dig(limit_range, "spec", "limits", default=[]):
        if limit.get("type") == "Container":
            limits |= limit.get("default") or {}
            requests |= limit.get("defaultRequest") or {}
    notes: list[str] = []
    for field, title in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(field) or ():
            for kind, word, defaults in (("requests", "request", requests), ("limits", "limit", limits)):
                if added := _fill(container, kind, defaults):
                    notes.append(f"{', '.join(added)} {word} for {title} {container['name']}")
    if notes:
        annotations = pod["metadata"].get("annotations") or {}
        pod["metadata"]["annotations"] = {**annotations, ANNOTATION: f"LimitRanger plugin set: {'; '.join(notes)}"}


def _fill(container: Object, kind: str, defaults: Amounts) -> list[str]:
    resources = container.get("resources") or {}
    own = resources.get(kind) or {}
    added = sorted(name for name in defaults if name not in own)
    if added:
        container["resources"] = {**resources, kind: {**own, **{name: defaults[name] for name in added}}}
    return added


def _pod_violations(limit: Object, pod: Object) -> Iterator[str]:
    kind = limit.get("type")
    if kind == "Container":
        for field in ("containers", "initContainers"):
            for container in pod["spec"].get(field) or ():
                resources = container.get("resources") or {}
                yield from _violations(limit, resources.get("requests") or {}, resources.get("limits") or {})
    elif kind == "Pod":
        yield from _violations(limit, pod_requests(pod["spec"]), pod_limits(pod["spec"]))


def _claim_violations(limit: Object, claim: Object) -> Iterator[str]:
    if limit.get("type") != "PersistentVolumeClaim":
        return
    requests = dig(claim, "spec", "resources", "requests", default={})
    for name, bound in sorted((limit.get("min") or {}).items()):
        yield from _too_little(limit, name, bound, requests, {})
    for name, bound in sorted((limit.get("max") or {}).items()):
        prefix = f"maximum {name} usage per PersistentVolumeClaim is {bound}"
        if name not in requests:
            yield f"{prefix}.  No request is specified"
        elif compare(requests[name], bound) > 0:
            yield f"{prefix}, but request is {requests[name]}"


def _violations(limit: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in sorted((limit.get("min") or {}).items()):
        yield from _too_little(limit, name, bound, requests, limits)
    for name, bound in sorted((limit.get("max") or {}).items()):
        yield from _too_much(limit, name, bound, requests, limits)
    for name, bound in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        yield from _too_far_apart(limit, name, bound, requests, limits)


def _too_little(limit: Object, name: str, bound: Any, requests: Amounts, limits: Amounts) -> Iterator[str]:
    prefix = f"minimum {name} usage per {limit['type']} is {bound}"
    if name not in requests:
        yield f"{prefix}.  No request is specified"
    elif compare(requests[name], bound) < 0:
        yield f"{prefix}, but request is {requests[name]}"
    elif name in limits and compare(limits[name], bound) < 0:
        yield f"{prefix}, but limit is {limits[name]}"


def _too_much(limit: Object, name: str, bound: Any, requests: Amounts, limits: Amounts) -> Iterator[str]:
    prefix = f"maximum {name} usage per {limit['type']} is {bound}"
    if name not in limits:
        yield f"{prefix}.  No limit is specified"
    elif compare(limits[name], bound) > 0:
        yield f"{prefix}, but limit is {limits[name]}"
    elif name in requests and compare(requests[name], bound) > 0:
        yield f"{prefix}, but request is {requests[name]}"


def _too_far_apart(limit: Object, name: str, bound: Any, requests: Amounts, limits: Amounts) -> Iterator[str]:
    prefix = f"{name} max limit to request ratio per {limit['type']} is {bound}"
    if name not in requests or not sign(requests[name]):
        yield f"{prefix}, but no request is specified or request is 0"
    elif name not in limits or not sign(limits[name]):
        yield f"{prefix}, but no limit is specified or limit is 0"
    else:
        ratio = as_decimal(limits[name]) / as_decimal(requests[name])
        if ratio > as_decimal(bound):
            yield f"{prefix}, but provided ratio is {ratio:.6f}"
