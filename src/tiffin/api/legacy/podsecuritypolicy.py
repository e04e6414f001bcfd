"""PodSecurityPolicy: what pods may ask for, in policy/v1beta1 (1.10 to 1.24) and before that in extensions/v1beta1 (from 1.2).

Kubernetes has no successor for it, so it is a Kind of its own here, stored in policy/v1beta1. It does nothing by itself: see the
admission plugin `apiserver/admission/podsecuritypolicy/`.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.kind import Column, Context, Kind
from tiffin.api.legacy.definitions import HEAD, LIST_HEAD, Fields, Package
from tiffin.api.legacy.podsecuritypolicy_texts import TEXTS
from tiffin.api.legacy.podsecuritypolicy_validation import policy_errors
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object
from tiffin.machinery.table import name

_ATOMIC = {"lt": "atomic"}


def _list(code: str) -> list[Any]:
    return [f"[{code}", _ATOMIC]


_RULE: Fields = {"rule": "+!s", "ranges": _list("@.IDRange")}
_FIELDS: dict[str, Fields] = {
    "PodSecurityPolicy": {**HEAD, "spec": "@.PodSecurityPolicySpec"},
    "PodSecurityPolicyList": {**LIST_HEAD, "items": "+![@.PodSecurityPolicy"},
    "PodSecurityPolicySpec": {
        "privileged": "b", "defaultAddCapabilities": _list("s"), "requiredDropCapabilities": _list("s"), "allowedCapabilities": _list("s"),
        "volumes": _list("s"), "hostNetwork": "b", "hostPorts": _list("@.HostPortRange"), "hostPID": "b", "hostIPC": "b",
        "seLinux": "+!@.SELinuxStrategyOptions", "runAsUser": "+!@.RunAsUserStrategyOptions", "runAsGroup": "*@.RunAsGroupStrategyOptions",
        "supplementalGroups": "+!@.SupplementalGroupsStrategyOptions", "fsGroup": "+!@.FSGroupStrategyOptions", "readOnlyRootFilesystem": "b",
        "defaultAllowPrivilegeEscalation": "*b", "allowPrivilegeEscalation": "*b", "allowedHostPaths": _list("@.AllowedHostPath"),
        "allowedFlexVolumes": _list("@.AllowedFlexVolume"), "allowedCSIDrivers": _list("@.AllowedCSIDriver"),
        "allowedUnsafeSysctls": _list("s"), "forbiddenSysctls": _list("s"), "allowedProcMountTypes": _list("s"),
        "runtimeClass": "*@.RuntimeClassStrategyOptions"},
    "IDRange": {"min": "+!l", "max": "+!l"},
    "HostPortRange": {"min": "+!i", "max": "+!i"},
    "AllowedHostPath": {"pathPrefix": "s", "readOnly": "b"},
    "AllowedFlexVolume": {"driver": "+!s"},
    "AllowedCSIDriver": {"name": "+!s"},
    "SELinuxStrategyOptions": {"rule": "+!s", "seLinuxOptions": "*@core.v1.SELinuxOptions"},
    "RunAsUserStrategyOptions": _RULE,
    "RunAsGroupStrategyOptions": _RULE,
    "SupplementalGroupsStrategyOptions": {**_RULE, "rule": "s"},
    "FSGroupStrategyOptions": {**_RULE, "rule": "s"},
    "RuntimeClassStrategyOptions": {"allowedRuntimeClassNames": ["+![s", _ATOMIC], "defaultRuntimeClassName": "*s"},
}
_POLICY, EXTENSIONS = (
    Package(f"{group}.v1beta1", group, "v1beta1", "policy.v1", ("PodSecurityPolicy",), _FIELDS, texts=TEXTS) for group in ("policy", "extensions"))
PACKAGES = (_POLICY, EXTENSIONS)


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    for field in ("seLinux", "runAsUser", "supplementalGroups", "fsGroup"):
        spec.setdefault(field, {})
    spec.setdefault("allowPrivilegeEscalation", True)


def validate(obj: Object, context: Context) -> list[FieldError]:
    return policy_errors(obj)


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return policy_errors(new)


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    rules = [(spec.get(field) or {}).get("rule", "") for field in ("seLinux", "runAsUser", "fsGroup", "supplementalGroups")]
    shown = ["true" if spec.get(field) else "false" for field in ("privileged", "readOnlyRootFilesystem")]
    return [name(obj), shown[0], ",".join(spec.get("allowedCapabilities") or ()), *rules, shown[1], ",".join(spec.get("volumes") or ())]


KIND = Kind(
    group="policy",
    version="v1beta1",
    kind="PodSecurityPolicy",
    plural="podsecuritypolicies",
    schema=_POLICY.schema("PodSecurityPolicy"),
    singular="podsecuritypolicy",
    namespaced=False,
    short_names=("psp",),
    returns_deleted=True,
    deprecation="policy/v1beta1 PodSecurityPolicy is deprecated in v1.21+, unavailable in v1.25+",
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(
        Column("Name", format="name"), Column("Priv"), Column("Caps"), Column("Selinux"), Column("RunAsUser"), Column("FsGroup"),
        Column("SupGroup"), Column("ReadOnlyRootFs"), Column("Volumes")),
    row=row,
)
