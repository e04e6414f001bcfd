"""Node: what kubelets report about themselves, and what keeps pods away from them.

A create may carry a status (kubelets register with one); later only `/status` writes it. `podCIDR` and the first of
`podCIDRs` are one value. The pod ranges and the provider id are set once.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import cidr, cidr_warnings, family_of, named, parse_cidr
from tiffin.api.core.resources import quantity_errors
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import keep
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, forbidden, internal, invalid, not_supported, quoted, required
from tiffin.machinery.object import Object, dig, labels_of, name_of
from tiffin.machinery.table import NONE, UNKNOWN, age

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NODE_INFO = (
    "machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion",
    "operatingSystem", "architecture",
)
_ROLE_PREFIX, _ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def default(obj: Object) -> None:
    spec, status = obj.setdefault("spec", {}), obj.setdefault("status", {})
    if spec.get("podCIDR"):
        if not spec.get("podCIDRs") or spec["podCIDRs"][0] != spec["podCIDR"]:
            spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs"):
        spec["podCIDR"] = spec["podCIDRs"][0]
    if status.get("capacity") and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])
    status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {}).setdefault("Port", 0)
    status["nodeInfo"] = dict.fromkeys(_NODE_INFO, "") | (status.get("nodeInfo") or {})


def prepare_for_create(obj: Object, context: Context) -> None:
    _drop_config_source(obj, {})


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "status")
    _drop_config_source(new, old)


def prepare_status(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "spec")
    if dig(old, "status", "config") is None:
        (new.get("status") or {}).pop("config", None)


def _drop_config_source(new: Object, old: Object) -> None:
    """Configuration of kubelets through the API is gone; what was stored of it stays."""
    if dig(old, "spec", "configSource") is None:
        (new.get("spec") or {}).pop("configSource", None)


def warnings(new: Object, old: Object | None) -> list[str]:
    spec, found = new.get("spec") or {}, []
    if spec.get("configSource") is not None:
        found.append("spec.configSource: the feature is removed")
    if spec.get("externalID"):
        found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    return found + [warning for i, value in enumerate(spec.get("podCIDRs") or ()) for warning in cidr_warnings(value, f"spec.podCIDRs[{i}]")]


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = taint_errors(spec.get("taints") or [], "metadata.taints") + _resource_errors(obj.get("status") or {})
    swap = dig(obj, "status", "nodeInfo", "swap", "capacity")
    if swap is not None and swap <= 0:
        errors.append(invalid("metadata.nodeSwapStatus.capacity", swap, "must be greater than zero"))
    return errors + _range_errors(spec.get("podCIDRs") or [], "spec.podCIDRs")


def _range_errors(ranges: list[str], path: str) -> list[FieldError]:
    """The ranges of a node's pods: one, or one of each family."""
    wrong = [cidr(value, f"{path}[{index}]") for index, value in enumerate(ranges)]
    errors = [error for found in wrong for error in found]
    if len(ranges) < 2:
        return errors
    unread = next((value for value in ranges if parse_cidr(value) is None), None)
    if unread is not None:
        detail = f"failed to parse cidr value:{quoted(unread)} with error:invalid CIDR address: {unread}"
        errors.append(internal(path, f"invalid PodCIDRs. failed to check with dual stack with error:{detail}"))
    if unread is not None or len(ranges) > 2 or family_of(ranges[0]) == family_of(ranges[1]):
        errors.append(invalid(path, ranges, "may specify no more than one CIDR for each IP family"))
    return errors


def taint_errors(taints: list[dict[str, Any]], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        here = f"{path}[{index}]"
        errors += named(taint.get("key"), f"{here}.key", names.is_qualified_name)
        complaints = names.is_label_value(taint.get("value") or "")
        if complaints:
            errors.append(invalid(f"{here}.value", taint["value"], ";".join(complaints)))
        errors += _effect_errors(taint.get("effect"), f"{here}.effect")
        pair = (taint.get("effect", ""), taint.get("key", ""))
        if pair in seen:
            errors.append(_duplicate_taint(here, taint))
        seen.add(pair)
    return errors


def _effect_errors(effect: str | None, path: str) -> list[FieldError]:
    if not effect:
        return [required(path)]
    return [] if effect in EFFECTS else [not_supported(path, effect, EFFECTS)]


def _duplicate_taint(path: str, taint: dict[str, Any]) -> FieldError:
    shown = {"Key": taint.get("key", ""), "Value": taint.get("value", ""), "Effect": taint.get("effect", ""), "TimeAdded": taint.get("timeAdded")}
    error = duplicate(path, shown)
    return error._replace(message=f"{error.message}: taints must be unique by key and effect pair")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context) + _update_errors(new, old)


def _resource_errors(status: dict[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    for resources in ("capacity", "allocatable"):
        for name, value in sorted((status.get(resources) or {}).items()):
            errors += quantity_errors(name, value, f"status.{resources}.{name}")
    return errors


def _update_errors(new: Object, old: Object) -> list[FieldError]:
    status = new.get("status") or {}
    errors = _resource_errors(status)
    errors += _address_errors(status.get("addresses") or [])
    before, after = (dig(node, "spec", "podCIDRs", default=[]) for node in (old, new))
    provider = dig(old, "spec", "providerID")
    moved = 1 if before and len(before) != len(after) else sum(a != b for a, b in zip(before, after))
    errors += [forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')] * moved
    if provider and provider != dig(new, "spec", "providerID"):
        errors.append(forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'))
    errors += taint_errors(dig(new, "spec", "taints", default=[]), "metadata.taints")
    if dig(old, "spec", "externalID") != dig(new, "spec", "externalID"):
        errors.append(forbidden("spec.externalID", "may not be updated"))
    return errors


def _address_errors(addresses: list[dict[str, Any]]) -> list[FieldError]:
    errors = []
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            shown = {"Type": address.get("type", ""), "Address": address.get("address", "")}
            errors.append(duplicate(f"status.addresses[{index}]", shown))
    return errors


def status_text(obj: Object) -> str:
    """`Ready`, `NotReady` or `Unknown`, with `SchedulingDisabled` on a cordoned node."""
    ready = next((c for c in dig(obj, "status", "conditions", default=[]) if c.get("type") == "Ready"), None)
    text = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if dig(obj, "spec", "unschedulable") else text


def roles(obj: Object) -> list[str]:
    """The roles its labels name, sorted."""
    found = set()
    for key, value in labels_of(obj).items():
        if key.startswith(_ROLE_PREFIX) and len(key) > len(_ROLE_PREFIX):
            found.add(key.removeprefix(_ROLE_PREFIX))
        elif key == _ROLE_LABEL and value:
            found.add(value)
    return sorted(found)


def address_of(obj: Object, kind: str) -> str:
    """The first address of a type such as InternalIP, or `<none>`."""
    addresses = dig(obj, "status", "addresses", default=[])
    return next((a.get("address", "") for a in addresses if a.get("type") == kind), NONE)


def row(obj: Object, now: datetime) -> list[Any]:
    info = dig(obj, "status", "nodeInfo", default={})
    kernel = info.get("kernelVersion") or UNKNOWN
    if info.get("kernelVersion") and info.get("architecture"):
        kernel = f"{kernel} ({info['architecture']})"
    return [
        name_of(obj), status_text(obj), ",".join(roles(obj)) or NONE, age(obj, now), info.get("kubeletVersion", ""),
        address_of(obj, "InternalIP"), address_of(obj, "ExternalIP"), info.get("osImage") or UNKNOWN, kernel,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    schema="io.k8s.api.core.v1.Node",
    singular="node",
    metadata_checks="mu",
    namespaced=False,
    short_names=("no",),
    subresources=(
        Subresource("proxy", verbs=("create", "delete", "get", "patch", "update"), body=("", "v1", "NodeProxyOptions")),
        Subresource("status", updates_object=True, prepare=prepare_status, validate=lambda new, old, context: _update_errors(new, old)),
    ),
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(
        NAME, Column("Status"), Column("Roles"), AGE, Column("Version"), Column("Internal-IP", priority=1),
        Column("External-IP", priority=1), Column("OS-Image", priority=1), Column("Kernel-Version", priority=1),
        Column("Container-Runtime", priority=1),
    ),
    row=row,
    field_selectors={"spec.unschedulable": lambda obj: "true" if dig(obj, "spec", "unschedulable") else "false"},
)
