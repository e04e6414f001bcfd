"""CSIDriver: what a volume driver wants from the cluster.

Its generation is not set on create and moves only with the fields that an update may change.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, one_of
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME, UNSET
from tiffin.api.strategy import changed, next_generation
from tiffin.machinery.field import FieldError, duplicate, invalid, not_supported, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name

_DEFAULTS = {"attachRequired": True, "podInfoOnMount": False, "storageCapacity": False, "requiresRepublish": False, "seLinuxMount": False}
_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLES = ("Persistent", "Ephemeral")
_NO_TOKENS = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
_SHORTEST, _LONGEST, _SHORTEST_PERIOD = 600, 1 << 32, 10


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    for field, value in _DEFAULTS.items():
        spec.setdefault(field, value)
    spec["volumeLifecycleModes"] = spec.get("volumeLifecycleModes") or ["Persistent"]
    spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    if changed(new, old, "spec"):
        next_generation(new, old)


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    needed = {"attachRequired": "attachedRequired", "podInfoOnMount": "podInfoOnMount", "storageCapacity": "storageCapacity"}
    errors = [required(f"spec.{called}") for field, called in needed.items() if spec.get(field) is None]
    errors += one_of(spec.get("fsGroupPolicy"), "spec.fsGroupPolicy", _GROUP_POLICIES)
    errors += _token_errors(spec.get("tokenRequests") or [])
    modes = spec.get("volumeLifecycleModes") or []
    errors += [not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLES) for mode in modes if mode not in _LIFECYCLES]
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < _SHORTEST_PERIOD:
        detail = f"must be greater than or equal to {_SHORTEST_PERIOD} seconds"
        errors.append(invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, detail))
    in_secrets = spec.get("serviceAccountTokenInSecrets")
    if in_secrets is not None and not spec.get("tokenRequests"):
        errors.append(invalid("spec.serviceAccountTokenInSecrets", in_secrets, _NO_TOKENS))
    return errors


def _token_errors(requests: list[dict[str, Any]]) -> list[FieldError]:
    errors = []
    audiences = [request.get("audience", "") for request in requests]
    for index, request in enumerate(requests):
        path, seconds = f"spec.tokenRequests[{index}]", request.get("expirationSeconds")
        if audiences[index] in audiences[:index]:
            errors.append(duplicate(f"{path}.audience", audiences[index]))
            continue
        if seconds is not None and seconds < _SHORTEST:
            errors.append(invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
        if seconds is not None and seconds > _LONGEST:
            errors.append(invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    errors = validate(new, context)
    if after.get("attachRequired") != before.get("attachRequired"):
        errors.append(invalid("spec.attachedRequired", after.get("attachRequired"), "field is immutable"))
    errors += immutable(after.get("volumeLifecycleModes"), before.get("volumeLifecycleModes"), "spec.volumeLifecycleModes")
    return errors + _token_errors(after.get("tokenRequests") or [])


def warnings(new: Object, old: Object | None) -> list[str]:
    spec = new.get("spec") or {}
    if not spec.get("tokenRequests") or spec.get("serviceAccountTokenInSecrets") is not None:
        return []
    return [
        "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens "
        "in volume attributes",
    ]


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    requests = dig(spec, "tokenRequests")
    tokens = ",".join(request.get("audience", "") for request in requests) if requests else UNSET
    modes = ",".join(spec.get("volumeLifecycleModes") or ()) or "<none>"
    fields = [spec.get(field, default) for field, default in (("attachRequired", True), ("podInfoOnMount", False), ("storageCapacity", False))]
    return [name(obj), *fields, tokens, spec.get("requiresRepublish", False), modes, age(obj, now)]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    schema="io.k8s.api.storage.v1.CSIDriver",
    singular="csidriver",
    returns_deleted=True,
    namespaced=False,
    unconditional_update=False,
    default=default,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(
        NAME, Column("AttachRequired", "boolean"), Column("PodInfoOnMount", "boolean"), Column("StorageCapacity", "boolean"),
        Column("TokenRequests"), Column("RequiresRepublish", "boolean"), Column("Modes"), AGE,
    ),
    row=row,
)
