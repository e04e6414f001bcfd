"""Validation of what containers do with volumes: mounts and block devices."""
from __future__ import annotations

from typing import Any

from tiffin.api.core.podspec.paths import descending
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")

Volumes = dict[str, dict[str, Any]]


def validate_mounts(container: dict[str, Any], volumes: Volumes, path: str) -> list[FieldError]:
    """Violations in the volumeMounts of a container; `path` is that of the list, and some errors name only the list."""
    errors: list[FieldError] = []
    devices = container.get("volumeDevices") or ()
    device_names, device_paths = {d.get("name") for d in devices}, {d.get("devicePath") for d in devices}
    taken: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        at = f"{path}[{index}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(f.required(f"{at}.name"))
        if name not in volumes:
            errors.append(f.not_found(f"{at}.name", name))
        if not target:
            errors.append(f.required(f"{at}.mountPath"))
        if target in taken:
            errors.append(f.invalid(f"{at}.mountPath", target, "must be unique"))
        taken.add(target)
        if name in device_names:
            errors.append(f.invalid(f"{at}.name", name, "must not already exist in volumeDevices"))
        if target in device_paths:
            errors.append(f.invalid(f"{at}.mountPath", target, "must not already exist as a path in volumeDevices"))
        errors += _validate_sub_paths(mount, at, path)
        errors += _validate_propagation(mount, container, f"{path}.mountPropagation")
        errors += _validate_recursive(mount, f"{path}.recursiveReadOnly")
    return errors


def _validate_sub_paths(mount: dict[str, Any], at: str, path: str) -> list[FieldError]:
    fixed, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    errors = descending(fixed, f"{path}.subPath") if fixed else []
    if expression:
        if fixed:
            errors.append(f.invalid(f"{at}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive"))
        errors += descending(expression, f"{path}.subPathExpr")
    return errors


def _validate_propagation(mount: dict[str, Any], container: dict[str, Any], path: str) -> list[FieldError]:
    value = mount.get("mountPropagation")
    if value is None:
        return []
    errors = [] if value in _PROPAGATIONS else [f.not_supported(path, value, _PROPAGATIONS)]
    if value == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        errors.append(f.forbidden(path, "Bidirectional mount propagation is available only to privileged containers"))
    return errors


def _validate_recursive(mount: dict[str, Any], path: str) -> list[FieldError]:
    value = mount.get("recursiveReadOnly")
    if value is None or value == "Disabled":
        return []
    if value not in _RECURSIVE:
        return [f.not_supported(path, value, _RECURSIVE)]
    errors = [] if mount.get("readOnly") else [f.forbidden(path, "may only be specified when readOnly is true")]
    if (mount.get("mountPropagation") or "None") != "None":
        errors.append(f.forbidden(path, "may only be specified when mountPropagation is None or not specified"))
    return errors


def validate_devices(container: dict[str, Any], volumes: Volumes, path: str) -> list[FieldError]:
    """Violations in the volumeDevices of a container."""
    errors: list[FieldError] = []
    mounts = container.get("volumeMounts") or ()
    mount_names, mount_paths = {m.get("name") for m in mounts}, {m.get("mountPath") for m in mounts}
    names: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        at = f"{path}[{index}]"
        name, target = device.get("name") or "", device.get("devicePath") or ""
        volume = volumes.get(name)
        if not name:
            errors.append(f.required(f"{at}.name"))
        if name in names:
            errors.append(f.invalid(f"{at}.name", name, "must be unique"))
        if volume is None:
            errors.append(f.not_found(f"{at}.name", name))
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(f.invalid(f"{at}.name", name, detail))
        if not target:
            errors.append(f.required(f"{at}.devicePath"))
        if target in paths:
            errors.append(f.invalid(f"{at}.devicePath", target, "must be unique"))
        if ".." in target.split("/"):
            errors.append(f.invalid(f"{at}.devicePath", target, "can not contain backsteps ('..')"))
        else:
            paths.add(target)
        if name in mount_names:
            errors.append(f.invalid(f"{at}.name", name, "must not already exist in volumeMounts"))
        if target in mount_paths:
            errors.append(f.invalid(f"{at}.devicePath", target, "must not already exist as a path in volumeMounts"))
        if name:
            names.add(name)
    return errors
