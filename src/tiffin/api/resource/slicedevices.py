"""The devices of a slice: attributes, capacities, taints, counters they use up, nodes that reach them, conditions for binding.

Source: API reference "resource.k8s.io/v1"; Kubernetes' validation of that group.
"""
from __future__ import annotations

import re
from functools import partial
from typing import Any

from tiffin.api.checks import named
from tiffin.api.core.podspec.scheduling import validate_node_selector
from tiffin.api.resource.capacity import capacity_errors
from tiffin.api.resource.identifiers import LONGEST_QUALIFIED, each, each_of_map, each_of_set, label, label_name, qualified_errors
from tiffin.api.resource.requests import EFFECTS
from tiffin.api.resource.selectors import LONGEST_VALUE, MAX_ATTRIBUTES
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid, not_supported, required, too_long

MAX_TAINTS, MAX_COUNTER_SETS, MAX_COUNTERS, MAX_CONSUMED_SETS, MAX_BINDING_CONDITIONS = 16, 8, 32, 2, 4
LONGEST_LABEL = 63
_VALUES = ("int", "bool", "string", "version")
_NUMBER, _PRERELEASE, _BUILD = r"(0|[1-9]\d*)", r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)", "[0-9a-zA-Z-]+"
_semver = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRERELEASE}(\.{_PRERELEASE})*)?(\+{_BUILD}(\.{_BUILD})*)?", re.ASCII).fullmatch
_ONE_NODE_FIELD = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec")


def device_errors(device: dict[str, Any], path: str, before: dict[str, Any] | None, per_device: bool) -> list[FieldError]:
    """`before` is the device as it was; `per_device` says that each device names its nodes, not the slice."""
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    errors = label(device.get("name"), f"{path}.name")
    if len(attributes) + len(capacity) > MAX_ATTRIBUTES:
        words = f"the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES}"
        errors.append(invalid(path, len(attributes) + len(capacity), words))
    errors += each_of_map(attributes, None, LONGEST_QUALIFIED, qualified_errors, _attribute_errors, f"{path}.attributes")
    if before is None or before.get("capacity") != device.get("capacity"):
        check = partial(capacity_errors, shared=bool(device.get("allowMultipleAllocations")))
        errors += each_of_map(capacity, None, LONGEST_QUALIFIED, qualified_errors, check, f"{path}.capacity")
    if before is None or before.get("taints") != device.get("taints"):
        errors += each(device.get("taints"), MAX_TAINTS, _taint_errors, f"{path}.taints")
    errors += each_of_set(
        device.get("consumesCounters"), MAX_CONSUMED_SETS, _consumption_errors, lambda used: used.get("counterSet") or "", f"{path}.consumesCounters")
    errors += _node_errors(device, path) if per_device else _no_node_errors(device, path)
    return errors + binding_errors(device, path)


def _attribute_errors(attribute: dict[str, Any], path: str) -> list[FieldError]:
    given = [field for field in _VALUES if attribute.get(field) is not None]
    errors: list[FieldError] = []
    for field in given:
        value = attribute[field]
        if field == "version" and not _semver(value):
            errors.append(invalid(f"{path}.version", value, "must be a string compatible with semver.org spec 2.0.0"))
        if isinstance(value, str) and len(value.encode()) > LONGEST_VALUE:
            errors.append(too_long(f"{path}.{field}", LONGEST_VALUE))
    if len(given) != 1:
        errors.append(invalid(path, _shown_attribute(attribute) if given else "", "exactly one value must be specified"))
    return errors


def _shown_attribute(attribute: dict[str, Any]) -> dict[str, Any]:
    shown = {f"{field.capitalize()}Value": attribute.get(field) for field in _VALUES}
    return shown | {f"{field.capitalize()}Values": None for field in _VALUES}


def _taint_errors(taint: dict[str, Any], path: str) -> list[FieldError]:
    effect = taint.get("effect") or ""
    errors = label_name(taint.get("key"), f"{path}.key")
    if taint.get("value"):
        errors += named(taint["value"], f"{path}.value", names.is_label_value)
    if effect in EFFECTS:
        return errors
    return [*errors, not_supported(f"{path}.effect", effect, EFFECTS) if effect else required(f"{path}.effect")]


def counter_set_errors(counter_set: dict[str, Any], path: str, field: str = "name") -> list[FieldError]:
    """A set of counters under its name."""
    called, counters = counter_set.get(field), counter_set.get("counters")
    errors = label(called, f"{path}.{field}") if called else [required(f"{path}.{field}")]
    if not counters:
        return [*errors, required(f"{path}.counters")]
    return errors + each_of_map(counters, MAX_COUNTERS, LONGEST_LABEL, label, _any_amount, f"{path}.counters")


def _consumption_errors(used: dict[str, Any], path: str) -> list[FieldError]:
    return counter_set_errors(used, path, "counterSet")


def _any_amount(counter: dict[str, Any], path: str) -> list[FieldError]:
    return []


def _node_errors(device: dict[str, Any], path: str) -> list[FieldError]:
    node, selector, everywhere = device.get("nodeName"), device.get("nodeSelector"), device.get("allNodes")
    given, errors = [], list[FieldError]()
    if node:
        given.append("`nodeName`")
        errors += named(node, f"{path}.nodeName", names.is_dns1123_subdomain)
    elif node is not None:
        errors.append(invalid(f"{path}.nodeName", node, "must not be empty"))
    if selector is not None:
        given.append("`nodeSelector`")
        errors += validate_node_selector(selector, f"{path}.nodeSelector")
    if everywhere:
        given.append("`allNodes`")
    elif everywhere is not None:
        errors.append(invalid(f"{path}.allNodes", everywhere, "must be either unset or set to true"))
    if not given:
        errors.append(required(path, _ONE_NODE_FIELD))
    elif len(given) > 1:
        errors.append(invalid(path, f"{{{', '.join(given)}}}", _ONE_NODE_FIELD))
    return errors


def _no_node_errors(device: dict[str, Any], path: str) -> list[FieldError]:
    if all(device.get(field) is None for field in ("nodeName", "nodeSelector", "allNodes")):
        return []
    words = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
    return [invalid(path, None, words)]


def binding_errors(device: dict[str, Any], path: str) -> list[FieldError]:
    """Conditions that must be true, and others that must not become true, before a pod is bound; each needs the other."""
    wanted, unwanted = device.get("bindingConditions") or [], device.get("bindingFailureConditions") or []
    errors = each(wanted, MAX_BINDING_CONDITIONS, label_name, f"{path}.bindingConditions")
    errors += each(unwanted, MAX_BINDING_CONDITIONS, label_name, f"{path}.bindingFailureConditions")
    errors += [duplicate(f"{path}.bindingConditions[{i}]", name) for i, name in enumerate(wanted) if name in wanted[:i]]
    for index, name in enumerate(unwanted):
        here = f"{path}.bindingFailureConditions[{index}]"
        if name in unwanted[:index]:
            errors.append(duplicate(here, name))
        if name in wanted:
            errors.append(invalid(here, name, "bindingFailureConditions must not overlap with bindingConditions"))
    if bool(wanted) != bool(unwanted):
        missing, other = ("bindingFailureConditions", "bindingConditions") if wanted else ("bindingConditions", "bindingFailureConditions")
        errors.append(invalid(f"{path}.{missing}", device.get(missing), f"{missing} are required to use {other}"))
    return errors
