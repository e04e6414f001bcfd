"""ResourceSlice: devices a driver offers, on one node, some nodes or all. Driver, node and pool name never change.

Fields of features that are off by default (lists as attributes, mappings to resources of the node) are dropped.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named
from tiffin.api.core.podspec.scheduling import validate_node_selector
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.api.resource.identifiers import driver_errors, each_of_set, pool_errors
from tiffin.api.resource.slicedevices import MAX_COUNTER_SETS, counter_set_errors, device_errors
from tiffin.api.strategy import start_generation, updates_spec
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name
from tiffin.machinery.timestamps import format_time

MAX_DEVICES, MAX_SPECIAL_DEVICES = 128, 64
_WHERE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_GATED, _GATED_VALUES = ("nodeAllocatableResourceMappings",), ("bools", "ints", "strings", "versions")
_move_generation = updates_spec(status=False)


def _prepare_devices(obj: Object, context: Context) -> None:
    for device in dig(obj, "spec", "devices", default=[]):
        for field in _GATED:
            device.pop(field, None)
        for attribute in (device.get("attributes") or {}).values():
            for field in _GATED_VALUES:
                attribute.pop(field, None)
        for taint in device.get("taints") or ():
            taint["timeAdded"] = taint.get("timeAdded") or format_time(context.now)


def prepare_for_create(obj: Object, context: Context) -> None:
    start_generation(obj, context)
    _prepare_devices(obj, context)


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    _prepare_devices(new, context)
    _move_generation(new, old, context)


def validate(obj: Object, context: Context) -> list[FieldError]:
    return _spec_errors(obj.get("spec") or {}, None)


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return _spec_errors(new.get("spec") or {}, old.get("spec") or {})


def _spec_errors(spec: dict[str, Any], before: dict[str, Any] | None) -> list[FieldError]:
    errors = driver_errors(spec.get("driver"), "spec.driver") + _pool_errors(spec.get("pool") or {}, "spec.pool")
    for path in (("pool", "name"), ("driver",), ("nodeName",)) if before is not None else ():
        errors += immutable(dig(spec, *path), dig(before, *path), f"spec.{'.'.join(path)}")
    errors += _where_errors(spec, "spec")
    devices, counters = spec.get("devices"), spec.get("sharedCounters")
    if devices is not None and counters is not None:
        errors.append(invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    special = any(device.get("taints") or device.get("consumesCounters") for device in devices or ())
    known = {device.get("name"): device for device in (before or {}).get("devices") or ()}
    per_device = bool(spec.get("perDeviceNodeSelection"))
    errors += each_of_set(
        devices, MAX_SPECIAL_DEVICES if special else MAX_DEVICES,
        lambda device, at: device_errors(device, at, known.get(device.get("name")), per_device), _name_of, "spec.devices")
    return errors + each_of_set(counters, MAX_COUNTER_SETS, counter_set_errors, _name_of, "spec.sharedCounters")


def _name_of(item: dict[str, Any]) -> str:
    return item.get("name") or ""


def _pool_errors(pool: dict[str, Any], path: str) -> list[FieldError]:
    errors, count, generation = pool_errors(pool.get("name"), f"{path}.name"), pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        errors.append(invalid(f"{path}.resourceSliceCount", count, "must be greater than zero"))
    if generation < 0:
        errors.append(invalid(f"{path}.generation", generation, "must be greater than or equal to zero"))
    return errors


def _where_errors(spec: dict[str, Any], path: str) -> list[FieldError]:
    node, selector = spec.get("nodeName"), spec.get("nodeSelector")
    given, errors = [], list[FieldError]()
    if node:
        given.append("`nodeName`")
        errors += named(node, f"{path}.nodeName", names.is_dns1123_subdomain)
    elif node is not None:
        errors.append(invalid(f"{path}.nodeName", node, "must be either unset or set to a non-empty string"))
    if selector is not None:
        given.append("`nodeSelector`")
        errors += validate_node_selector(selector, f"{path}.nodeSelector")
        terms = selector.get("nodeSelectorTerms")
        if len(terms or ()) != 1:
            errors.append(invalid(f"{path}.nodeSelector.nodeSelectorTerms", _shown_terms(terms), "must have exactly one node selector term"))
    for field in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(field):
            given.append(f"`{field}`")
        elif spec.get(field) is not None:
            errors.append(invalid(f"{path}.{field}", spec[field], "must be either unset or set to true"))
    if not given:
        errors.append(required(path, _WHERE))
    elif len(given) > 1:
        errors.append(invalid(path, f"{{{', '.join(given)}}}", f"{_WHERE}, but multiple fields are set"))
    return errors


def _shown_terms(terms: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    def requirements(term: dict[str, Any], field: str) -> list[dict[str, Any]] | None:
        given = term.get(field)
        return None if given is None else [{"Key": r.get("key", ""), "Operator": r.get("operator", ""), "Values": r.get("values")} for r in given]

    if terms is None:
        return None
    return [{field[0].upper() + field[1:]: requirements(term, field) for field in ("matchExpressions", "matchFields")} for term in terms]


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [name(obj), spec.get("nodeName") or "<unset>", spec.get("driver", ""), dig(spec, "pool", "name", default=""), age(obj, now)]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceSlice",
    plural="resourceslices",
    schema="io.k8s.api.resource.v1.ResourceSlice",
    singular="resourceslice",
    returns_deleted=True,
    namespaced=False,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Node"), Column("Driver"), Column("Pool"), AGE),
    row=row,
    field_selectors={
        "spec.driver": lambda obj: dig(obj, "spec", "driver", default=""),
        "spec.nodeName": lambda obj: dig(obj, "spec", "nodeName", default=""),
    },
)
