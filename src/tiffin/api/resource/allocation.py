"""The status of a claim: which devices it got, what drivers report of them, who uses it.

Source: API reference "resource.k8s.io/v1"; Kubernetes' validation of that group.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.checks import parse_cidr
from tiffin.api.conditions import condition_errors
from tiffin.api.core.podspec.scheduling import validate_node_selector
from tiffin.api.resource.identifiers import driver_errors, each, each_of_set, itself, label, pool_errors, uid_errors
from tiffin.api.resource.requests import (
    MAX_CONFIGURATIONS,
    RequestNames,
    claim_configuration_errors,
    parameters_errors,
    request_reference_errors,
    toleration_errors,
)
from tiffin.api.resource.slicedevices import binding_errors
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported, required, too_long, too_many
from tiffin.machinery.object import dig

MAX_RESULTS, MAX_USERS, MAX_CONDITIONS, MAX_ADDRESSES, LONGEST_INTERFACE, LONGEST_HARDWARE_ADDRESS = 32, 256, 8, 16, 256, 128
_SOURCES = ("FromClaim", "FromClass")


def device_id(device: dict[str, Any]) -> str:
    """What tells devices apart: driver, pool, name, and which share of the device it is."""
    parts = [device.get(field) or "" for field in ("driver", "pool", "device")]
    return "/".join([*parts, device["shareID"]] if device.get("shareID") is not None else parts)


def allocated_devices(status: dict[str, Any]) -> set[str]:
    return {device_id(result) for result in dig(status, "allocation", "devices", "results", default=[])}


def status_errors(status: dict[str, Any], before: dict[str, Any], deleted: bool, known: RequestNames, path: str) -> list[FieldError]:
    users, allocation = status.get("reservedFor") or [], status.get("allocation")
    errors = each_of_set(users, MAX_USERS, _user_errors, lambda user: user.get("uid") or "", f"{path}.reservedFor")
    allocated = allocated_devices(status)
    errors += each_of_set(
        status.get("devices"), None, lambda device, at: _device_errors(device, at, allocated), device_id, f"{path}.devices")
    if users and allocation is None:
        errors.append(forbidden(f"{path}.reservedFor", "may not be specified when `allocated` is not set"))
    elif deleted and any(user not in (before.get("reservedFor") or []) for user in users):
        words = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        errors.append(forbidden(f"{path}.reservedFor", words))
    if allocation is None:
        return errors
    if before.get("allocation") is not None:
        changed = allocation != before["allocation"]
        return [*errors, invalid(f"{path}.allocation", allocation, "field is immutable")] if changed else errors
    return errors + _allocation_errors(allocation, known, f"{path}.allocation")


def _user_errors(user: dict[str, Any], path: str) -> list[FieldError]:
    return [required(f"{path}.{field}") for field in ("resource", "name", "uid") if not user.get(field)]


def _allocation_errors(allocation: dict[str, Any], known: RequestNames, path: str) -> list[FieldError]:
    devices = allocation.get("devices") or {}
    errors = each(devices.get("results"), MAX_RESULTS, lambda r, at: _result_errors(r, at, known), f"{path}.devices.results")
    errors += each(devices.get("config"), 2 * MAX_CONFIGURATIONS, lambda c, at: _configuration_errors(c, at, known), f"{path}.devices.config")
    if allocation.get("nodeSelector") is not None:
        errors += validate_node_selector(allocation["nodeSelector"], f"{path}.nodeSelector")
    return errors


def _result_errors(result: dict[str, Any], path: str, known: RequestNames) -> list[FieldError]:
    errors = request_reference_errors(result.get("request") or "", f"{path}.request", known)
    errors += driver_errors(result.get("driver"), f"{path}.driver") + pool_errors(result.get("pool"), f"{path}.pool")
    errors += label(result.get("device"), f"{path}.device") + binding_errors(result, path)
    errors += toleration_errors(result.get("tolerations"), f"{path}.tolerations")
    return errors + (uid_errors(result["shareID"], f"{path}.shareID") if result.get("shareID") is not None else [])


def _configuration_errors(configuration: dict[str, Any], path: str, known: RequestNames) -> list[FieldError]:
    source = configuration.get("source") or ""
    errors: list[FieldError] = []
    if source not in _SOURCES:
        errors.append(not_supported(f"{path}.source", source, _SOURCES) if source else required(f"{path}.source"))
    return errors + claim_configuration_errors(configuration, path, known)


def _device_errors(device: dict[str, Any], path: str, allocated: set[str]) -> list[FieldError]:
    errors = driver_errors(device.get("driver"), f"{path}.driver") + pool_errors(device.get("pool"), f"{path}.pool")
    errors += label(device.get("device"), f"{path}.device")
    if device.get("shareID") is not None:
        errors += uid_errors(device["shareID"], f"{path}.shareID")
    if device_id(device) not in allocated:
        words = f"Invalid value: {device_id(device)}: must be an allocated device in the claim"
        errors.append(FieldError("FieldValueInvalid", path, words))
    conditions = device.get("conditions") or []
    if len(conditions) > MAX_CONDITIONS:
        errors.append(too_many(f"{path}.conditions", len(conditions), MAX_CONDITIONS))
    errors += condition_errors(conditions, f"{path}.conditions")
    if device.get("data") is not None:
        errors += parameters_errors(device["data"], f"{path}.data")
    return errors + _network_errors(device.get("networkData") or {}, f"{path}.networkData")


def _network_errors(data: dict[str, Any], path: str) -> list[FieldError]:
    errors = []
    for field, longest in (("interfaceName", LONGEST_INTERFACE), ("hardwareAddress", LONGEST_HARDWARE_ADDRESS)):
        if len((data.get(field) or "").encode()) > longest:
            errors.append(too_long(f"{path}.{field}", longest))
    return errors + each_of_set(data.get("ips"), MAX_ADDRESSES, _address_errors, itself, f"{path}.ips")


def _address_errors(address: str, path: str) -> list[FieldError]:
    parsed = parse_cidr(address)
    words = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
    if parsed is None:
        return [invalid(path, address, words)]
    canonical = str(parsed[0])
    if canonical != address:
        return [invalid(path, address, f'must be in canonical form ("{canonical}")')]
    return []
