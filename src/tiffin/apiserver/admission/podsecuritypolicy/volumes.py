"""Which volumes a pod may have, by their types, host paths and drivers."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiffin.machinery.field import FieldError, invalid

Spec = dict[str, Any]
_NAMES = {"cephfs": "cephFS", "cinder": "cinder"}
"""Volume fields whose types a policy names otherwise."""


def volume_errors(policy: Spec, pod: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, volume in enumerate(pod.get("volumes") or ()):
        field = next((key for key in volume if key != "name"), "emptyDir")
        kind, path = _NAMES.get(field, field), f"spec.volumes[{index}]"
        if not _allowed(policy, kind, volume.get(field) or {}):
            errors.append(invalid(path, kind, f"{kind} volumes are not allowed to be used"))
        elif kind == "hostPath":
            errors += _host_path_errors(policy, pod, volume, path)
        elif kind == "flexVolume":
            errors += _driver_errors(policy.get("allowedFlexVolumes"), "driver", volume[field].get("driver"), f"{path}.driver", "Flexvolume")
        elif kind == "csi":
            errors += _driver_errors(policy.get("allowedCSIDrivers"), "name", volume[field].get("driver"), f"{path}.csi.driver", "Inline CSI")
    return errors


def _allowed(policy: Spec, kind: str, source: Spec) -> bool:
    allowed = policy.get("volumes") or ()
    return "*" in allowed or kind in allowed or (kind == "projected" and "secret" in allowed and _is_account_token(source))


def _is_account_token(source: Spec) -> bool:
    """Whether a projected volume is the one that every pod gets: what its account's secret was before."""
    return all(
        "serviceAccountToken" in part or "downwardAPI" in part or (part.get("configMap") or {}).get("name") == "kube-root-ca.crt"
        for part in source.get("sources") or ())


def _host_path_errors(policy: Spec, pod: Spec, volume: Spec, path: str) -> list[FieldError]:
    allowed, here = policy.get("allowedHostPaths") or [], volume["hostPath"].get("path") or ""
    if not allowed:
        return []
    matching = [rule for rule in allowed if _is_below(here, rule.get("pathPrefix") or "")]
    if not matching:
        return [invalid(f"{path}.hostPath.pathPrefix", here, "is not allowed to be used")]
    if not all(rule.get("readOnly") for rule in matching):
        return []
    return [
        invalid(f"{place}.readOnly", False, "must be read-only")
        for place, mount in _mounts(pod) if mount.get("name") == volume["name"] and not mount.get("readOnly")]


def _is_below(path: str, prefix: str) -> bool:
    path, prefix = path.rstrip("/"), prefix.rstrip("/")
    return path == prefix or path.startswith(f"{prefix}/")


def _mounts(pod: Spec) -> Iterator[tuple[str, Spec]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for i, container in enumerate(pod.get(field) or ()):
            for j, mount in enumerate(container.get("volumeMounts") or ()):
                yield f"spec.{field}[{i}].volumeMounts[{j}]", mount


def _driver_errors(allowed: list[Spec] | None, key: str, driver: str | None, path: str, what: str) -> list[FieldError]:
    if not allowed or any(rule.get(key) == driver for rule in allowed):
        return []
    return [invalid(path, driver or "", f"{what} driver is not allowed to be used")]
