"""The sources of PersistentVolumes: those that pods have as well, some with more to check, and local directories.

`SOURCES` lists them in the order in which Kubernetes looks at them; the first one found counts, any further one is refused.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiffin.api.core.podspec import remotevolumes as remote
from tiffin.api.core.podspec.paths import no_backsteps
from tiffin.api.core.podspec.remotevolumes import Source, Validator, needs
from tiffin.api.core.podspec.volumes import host_path_errors
from tiffin.machinery.field import FieldError, forbidden, invalid, required
from tiffin.machinery.names import is_dns1123_label, is_dns1123_subdomain

_CSI_SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")
_FORMAT = "must be valid format"


def _also(first: Validator, *more: Callable[[Source, str], list[FieldError]]) -> Validator:
    return lambda source, path: [*first(source, path), *(error for check in more for error in check(source, path))]


def _local(source: Source, path: str) -> list[FieldError]:
    return no_backsteps(source["path"], f"{path}.path") if source.get("path") else [required(f"{path}.path")]


def _endpoints_namespace(source: Source, path: str) -> list[FieldError]:
    namespace, at = source.get("endpointsNamespace"), f"{path}.endpointsNamespace"
    if namespace == "":
        return [invalid(at, "", "if the endpointnamespace is set, it must be a valid namespace name")]
    return [invalid(at, namespace, m) for m in is_dns1123_label(namespace)] if namespace is not None else []


def _secret_namespace(source: Source, path: str) -> list[FieldError]:
    return [required(f"{path}.secretNamespace")] if source.get("secretNamespace") == "" else []


def _whole_secret(source: Source, path: str) -> list[FieldError]:
    secret = source.get("secretRef") or {}
    return [required(f"{path}.secretRef.namespace")] if source.get("secretRef") is not None and not secret.get("namespace") else []


def _iscsi(source: Source, path: str) -> list[FieldError]:
    """As in pods, with fewer words."""
    errors = []
    for error in remote.REMOTE["iscsi"](source, path):
        is_named = error.field in (f"{path}.iqn", f"{path}.initiatorname") and error.reason == "FieldValueInvalid"
        errors.append(invalid(error.field, source["iqn" if error.field.endswith("iqn") else "initiatorName"], _FORMAT) if is_named else error)
    secret = remote.secret_errors(source, path)
    at = next((i for i, error in enumerate(errors) if error.field.endswith(".initiatorname")), len(errors))
    return errors[:at] + secret + errors[at:]


def _csi(source: Source, path: str) -> list[FieldError]:
    errors = remote.csi_driver_errors(source, path) + needs("volumeHandle")(source, path)
    for field in _CSI_SECRETS:
        if source.get(field) is not None:
            errors += _reference_errors(source[field], f"{path}.{field}")
    return errors


def _reference_errors(secret: Source, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for field, check in (("name", is_dns1123_subdomain), ("namespace", is_dns1123_label)):
        value = secret.get(field)
        errors += [invalid(f"{path}.{field}", value, m) for m in check(value)] if value else [required(f"{path}.{field}")]
    return errors


SOURCES: dict[str, Validator] = {
    "hostPath": host_path_errors,
    "gcePersistentDisk": remote.REMOTE["gcePersistentDisk"],
    "awsElasticBlockStore": remote.REMOTE["awsElasticBlockStore"],
    "glusterfs": _also(remote.REMOTE["glusterfs"], _endpoints_namespace),
    "flocker": remote.REMOTE["flocker"],
    "nfs": remote.REMOTE["nfs"],
    "rbd": remote.REMOTE["rbd"],
    "quobyte": remote.REMOTE["quobyte"],
    "cephfs": remote.REMOTE["cephfs"],
    "iscsi": _iscsi,
    "cinder": _also(remote.REMOTE["cinder"], _whole_secret),
    "fc": remote.REMOTE["fc"],
    "flexVolume": remote.REMOTE["flexVolume"],
    "azureFile": _also(remote.REMOTE["azureFile"], _secret_namespace),
    "vsphereVolume": remote.REMOTE["vsphereVolume"],
    "photonPersistentDisk": remote.REMOTE["photonPersistentDisk"],
    "portworxVolume": remote.REMOTE["portworxVolume"],
    "azureDisk": remote.REMOTE["azureDisk"],
    "scaleIO": remote.REMOTE["scaleIO"],
    "local": _local,
    "storageos": _also(remote.REMOTE["storageos"], _whole_secret),
    "csi": _csi,
}


def source_errors(spec: dict[str, Any], volume: str, path: str) -> list[FieldError]:
    """Violations of the one source of the volume of this name, whose spec is at `path`."""
    errors: list[FieldError] = []
    found = False
    for kind, validate in SOURCES.items():
        source, at = spec.get(kind), f"{path}.{remote.PATHS.get(kind, kind)}"
        if source is None:
            continue
        if found and kind != "flexVolume":  # which is never one too many
            errors.append(forbidden(f"{path}.{remote.SECOND_PATHS.get(kind, kind)}", "may not specify more than 1 volume type"))
            continue
        found = True
        errors += validate(source, at)
        if kind == "iscsi":
            errors += remote.iscsi_length_errors(volume, source, f"{at}.targetportal", source.get("targetPortal") or "")
        elif kind == "local" and spec.get("nodeAffinity") is None:
            errors.append(required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    return errors if found else [required(path, "must specify a volume type")]
