"""StatefulSet: pods with names and volumes of their own, in order.

Only replicas, ordinals, template, update strategy, revision history, claim retention and ready time may change.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api import replica_status
from tiffin.api.checks import named, not_negative
from tiffin.api.core.persistentvolumeclaim import claim_spec_errors, claim_spec_warnings, default_claim
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.pod_templates import (
    default_template,
    label_errors,
    long_running_errors,
    selector_errors,
    template_errors,
    template_warnings,
)
from tiffin.api.printing import AGE, NAME, WORKLOAD_WIDE, containers_and_images
from tiffin.api.strategy import creates_with_status, updates_spec, updates_status
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported
from tiffin.machinery.object import Object, dig
from tiffin.machinery.selectors import validate_label_selector
from tiffin.machinery.table import age, name
from tiffin.machinery.validation import validate_labels

_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)
_FIXED = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_COUNTS = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "observedGeneration", "collisionCount")
_PARTS = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
_RETENTION = ("Retain", "Delete")


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj["status"] = {"replicas": 0, "availableReplicas": 0} | (obj.get("status") or {})
    spec.setdefault("serviceName", "")
    spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
    _default_strategy(spec.setdefault("updateStrategy", {}))
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for field in ("whenDeleted", "whenScaled"):
        retention[field] = retention.get(field) or "Retain"
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates") or ():
        claim["kind"], claim["apiVersion"] = "PersistentVolumeClaim", "v1"
        default_claim(claim)
    default_template(spec.setdefault("template", {}))


def _default_strategy(strategy: dict[str, Any]) -> None:
    """`maxUnavailable` belongs to a feature that is off by default and is dropped."""
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    rolling = strategy.get("rollingUpdate")
    if rolling is not None:
        rolling.pop("maxUnavailable", None)
        if strategy["type"] == "RollingUpdate":
            rolling.setdefault("partition", 0)


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = _policy_errors(spec)
    errors += not_negative(spec.get("replicas"), "spec.replicas") + not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    errors += not_negative(dig(spec, "ordinals", "start"), "spec.ordinals.start")
    errors += selector_errors(spec.get("selector"), "spec.selector", "statefulset")
    if validate_label_selector(spec.get("selector"), "spec.selector"):
        errors.append(invalid("spec.selector", spec["selector"], ""))
    else:
        errors += _template_errors(spec, "spec.template")
    errors += long_running_errors(spec.get("template") or {}, "spec.template", "StatefulSet")
    if spec.get("serviceName"):
        errors += named(spec["serviceName"], "spec.serviceName", names.is_dns1123_label)
    return errors


def _policy_errors(spec: dict[str, Any]) -> list[FieldError]:
    errors = []
    management = spec.get("podManagementPolicy") or ""
    if management not in ("OrderedReady", "Parallel"):
        errors.append(invalid("spec.podManagementPolicy", management, "must be 'OrderedReady' or 'Parallel'"))
    errors += _strategy_errors(spec.get("updateStrategy") or {}, "spec.updateStrategy")
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        if retention.get(field) not in _RETENTION:
            errors.append(not_supported(f"spec.persistentVolumeClaimRetentionPolicy.{field}", retention.get(field, ""), _RETENTION))
    return errors


def _strategy_errors(strategy: dict[str, Any], path: str) -> list[FieldError]:
    kind, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    shown = None if rolling is None else {"Partition": rolling.get("partition", 0), "MaxUnavailable": rolling.get("maxUnavailable")}
    if kind == "OnDelete":
        return [] if rolling is None else [invalid(f"{path}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")]
    if kind == "RollingUpdate":
        return not_negative(dig(rolling, "partition"), f"{path}.rollingUpdate.partition")
    return [invalid(path, {"Type": kind, "RollingUpdate": shown}, "must be 'RollingUpdate' or 'OnDelete'")]


def _template_errors(spec: dict[str, Any], path: str) -> list[FieldError]:
    """The template is checked with a volume for each claim template in it, as its pods will have."""
    template = spec.get("template") or {}
    errors: list[FieldError] = []
    claims = spec.get("volumeClaimTemplates") or []
    for index, claim in enumerate(claims):
        errors += claim_spec_errors(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")
    errors += label_errors(template, spec.get("selector"), path)
    errors += template_errors(_with_claims(template, claims), path)
    return errors + validate_labels(dig(template, "metadata", "labels"), f"{path}.labels")


def _with_claims(template: dict[str, Any], claims: list[dict[str, Any]]) -> dict[str, Any]:
    if not claims:
        return template
    claimed = [dig(claim, "metadata", "name", default="") for claim in claims]
    volumes = [{"name": volume, "persistentVolumeClaim": {"claimName": volume}} for volume in claimed]
    volumes += [volume for volume in dig(template, "spec", "volumes", default=[]) if volume.get("name") not in claimed]
    return template | {"spec": (template.get("spec") or {}) | {"volumes": volumes}}


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    before, after = old.get("spec") or {}, new.get("spec") or {}
    fixed = {field for field in {*before, *after} if field not in _MUTABLE and before.get(field) != after.get(field)}
    errors = validate(new, context)
    return [*errors, forbidden("spec", _FIXED)] if fixed else errors


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    status = new.get("status") or {}
    errors = replica_status.counts(status, _COUNTS) + replica_status.within(status, _PARTS)
    errors += replica_status.within(status, ("availableReplicas",), "readyReplicas", "status.readyReplicas")
    return errors + replica_status.collisions(status, old.get("status") or {})


def validate_name(name: str, prefix: bool) -> list[str]:
    """A label, because pods are named after the set."""
    return names.is_dns1123_label(names.masked_prefix(name) if prefix else name)


def warnings(new: Object, old: Object | None) -> list[str]:
    found = template_warnings(new, old, "spec", "template")
    for index, claim in enumerate(dig(new, "spec", "volumeClaimTemplates", default=())):
        found += claim_spec_warnings(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}]")
    if (dig(new, "spec", "revisionHistoryLimit") or 0) < 0:
        found.append("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended")
    return found


def row(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [name(obj), ready, age(obj, now), *containers_and_images(spec.get("template"))]


KIND = Kind(
    group="apps",
    version="v1",
    kind="StatefulSet",
    plural="statefulsets",
    schema="io.k8s.api.apps.v1.StatefulSet",
    singular="statefulset",
    short_names=("sts",),
    categories=("all",),
    subresources=(
        Subresource("scale", body=("autoscaling", "v1", "Scale")),
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    default=default,
    prepare_for_create=creates_with_status({"replicas": 0, "availableReplicas": 0}),
    prepare_for_update=updates_spec(),
    validate=validate,
    validate_update=validate_update,
    validate_name=validate_name,
    warnings=warnings,
    columns=(NAME, Column("Ready"), AGE, *WORKLOAD_WIDE),
    row=row,
)
