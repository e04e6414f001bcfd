"""APIService: a group version that is served here or by an aggregated server. Its name is `version.group`."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import named, needed, port_number
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import OWNED_METADATA, creates_with_status, keep, keep_metadata, updates_spec
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, not_supported, required
from tiffin.machinery.object import Object, dig, name_of
from tiffin.machinery.table import age, name
from tiffin.machinery.validation import path_segment_name

_STATES = ("True", "False", "Unknown")


def default(obj: Object) -> None:
    service = obj.setdefault("spec", {}).get("service")
    obj.setdefault("status", {})
    if service is not None:
        service.setdefault("port", 443)


def prepare_status(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "spec")
    keep_metadata(new, old, *OWNED_METADATA)


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    group, version, service = spec.get("group") or "", spec.get("version") or "", spec.get("service")
    wanted = f"{version}.{group}"
    errors: list[FieldError] = []
    if name_of(obj) != wanted:
        errors.append(invalid("metadata.name", name_of(obj), f'must be `spec.version+"."+spec.group`: "{wanted}"'))
    if group:
        errors += named(group, "spec.group", names.is_dns1123_subdomain)
    elif version != "v1":
        errors.append(required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
    errors += named(version, "spec.version", names.is_dns1035_label)
    for field, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        if not 0 < (spec.get(field) or 0) <= limit:
            errors.append(invalid(f"spec.{field}", spec.get(field) or 0, f"must be positive and less than {limit}"))
    return errors + (_local_errors(spec) if service is None else _service_errors(spec, service))


def _local_errors(spec: dict[str, Any]) -> list[FieldError]:
    errors = []
    if spec.get("caBundle"):
        errors.append(invalid("spec.caBundle", f"{len(spec['caBundle'])} bytes", "local APIServices may not have a caBundle"))
    if spec.get("insecureSkipTLSVerify"):
        errors.append(invalid("spec.insecureSkipTLSVerify", True, "local APIServices may not have insecureSkipTLSVerify"))
    return errors


def _service_errors(spec: dict[str, Any], service: dict[str, Any]) -> list[FieldError]:
    errors = [error for field in ("namespace", "name") for error in needed(service.get(field), f"spec.service.{field}")]
    errors += port_number(service.get("port"), "spec.service.port")
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        errors.append(invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    return [
        not_supported(f"status.conditions[{index}].status", condition.get("status") or "", _STATES)
        for index, condition in enumerate(dig(new, "status", "conditions", default=[])) if condition.get("status") not in _STATES
    ]


def available_text(obj: Object) -> str:
    """`True`, or `False (Reason)`; `Unknown` before anyone looked."""
    for condition in dig(obj, "status", "conditions", default=[]):
        if condition.get("type") == "Available":
            status, reason = condition.get("status", ""), condition.get("reason", "")
            return status if status == "True" else f"{status} ({reason})"
    return "Unknown"


def row(obj: Object, now: datetime) -> list[Any]:
    service = dig(obj, "spec", "service")
    where = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    return [name(obj), where, available_text(obj), age(obj, now)]


KIND = Kind(
    group="apiregistration.k8s.io",
    version="v1",
    kind="APIService",
    plural="apiservices",
    schema="io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    singular="apiservice",
    metadata_checks="um",
    any_finalizers=True,
    namespaced=False,
    categories=("api-extensions",),
    subresources=(
        Subresource("status", updates_object=True, prepare=prepare_status, validate=validate_status, resets=(("spec",), ("metadata",))),
    ),
    unconditional_update=False,
    default=default,
    prepare_for_create=creates_with_status(generation=False),
    prepare_for_update=updates_spec(generation=False),
    validate=validate,
    validate_update=validate_update,
    validate_name=path_segment_name,
    columns=(NAME, Column("Service"), Column("Available"), AGE),
    row=row,
)
