"""Validation of network and cloud sources, which pods' volumes and PersistentVolumes share; `REMOTE` has one function for each.

What a PersistentVolume is checked for beyond that is in `core/volumesources.py`.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_label, is_dns1123_subdomain

Source = dict[str, Any]
Validator = Callable[[Source, str], list[FieldError]]

_LUN = "must be between 0 and 255, inclusive"
_PARTITION = "must be between 1 and 255, inclusive"
_MANAGED_DISK = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB_DISK = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_ADDRESSES = "must be a host:port pair or multiple pairs separated by commas"
_TENANT = "must be a UUID and may not exceed a length of 64 characters"
_RESERVED = "kubernetes.io and k8s.io namespaces are reserved"
_LONG_ISCSI = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."
_LONGEST_TENANT, _LONGEST_ISCSI = 64, 64
QUALIFIED_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.[A-Za-z0-9.-]+:[^,;*&$|\s]+$").search,
    "eui": re.compile(r"eui.[A-Za-z0-9]{16}").fullmatch,
    "naa": re.compile(r"naa.[A-Za-z0-9]{32}").fullmatch,
}
"""The forms of iSCSI names."""


def needs(*fields: str) -> Validator:
    """A source that only needs these fields to be there."""

    def validate(source: Source, path: str) -> list[FieldError]:
        return [f.required(f"{path}.{field}") for field in fields if not source.get(field)]

    return validate


def _nfs(source: Source, path: str) -> list[FieldError]:
    errors = needs("server", "path")(source, path)
    exported = source.get("path") or ""
    return errors if exported.startswith("/") else [*errors, f.invalid(f"{path}.path", exported, "must be an absolute path")]


def lun_errors(source: Source, path: str) -> list[FieldError]:
    lun = source.get("lun") or 0
    return [] if 0 <= lun <= 255 else [f.invalid(f"{path}.lun", lun, _LUN)]


def _iscsi(source: Source, path: str) -> list[FieldError]:
    errors = needs("targetPortal", "iqn")(source, path)
    words = "must be valid format starting with iqn, eui, or naa"
    errors += _name_errors(source.get("iqn"), f"{path}.iqn", words)
    errors += lun_errors(source, path)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        errors.append(f.required(f"{path}.secretRef"))
    return errors + initiator_errors(source, path, words)


def _name_errors(name: str | None, path: str, unknown: str) -> list[FieldError]:
    """An iSCSI name; `unknown` is what to say of one that begins like none."""
    if not name:
        return []
    matches = QUALIFIED_NAMES.get(name[:3])
    if matches is None:
        return [f.invalid(path, name, unknown)]
    return [] if matches(name) else [f.invalid(path, name, "must be valid format")]


def initiator_errors(source: Source, path: str, unknown: str) -> list[FieldError]:
    initiator = source.get("initiatorName")
    if initiator == "":
        return [f.invalid(f"{path}.initiatorname", "", unknown)]
    return _name_errors(initiator, f"{path}.initiatorname", unknown)


def iscsi_length_errors(volume: str, source: Source, path: str, shown: str) -> list[FieldError]:
    """The initiator's interface is named after the volume and the portal."""
    if source.get("initiatorName") is None or len(f"{volume}:{source.get('targetPortal') or ''}".encode()) <= _LONGEST_ISCSI:
        return []
    return [f.invalid(path, shown, _LONG_ISCSI)]


def _fibre_channel(source: Source, path: str) -> list[FieldError]:
    targets, wwids = source.get("targetWWNs") or [], source.get("wwids") or []
    at = f"{path}.targetWWNs"
    errors = []
    if not targets and not wwids:
        errors.append(f.required(at, "must specify either targetWWNs or wwids, but not both"))
    if targets and wwids:
        errors.append(f.invalid(at, targets, "targetWWNs and wwids can not be specified simultaneously"))
    if not targets:
        return errors
    if source.get("lun") is None:
        return [*errors, f.required(f"{path}.lun", "lun is required if targetWWNs is specified")]
    return errors + lun_errors(source, path)


def _partitioned(name_field: str) -> Validator:
    def validate(source: Source, path: str) -> list[FieldError]:
        partition = source.get("partition") or 0
        errors = needs(name_field)(source, path)
        return errors if 0 <= partition <= 255 else [*errors, f.invalid(f"{path}.partition", partition, _PARTITION)]

    return validate


def _flocker(source: Source, path: str) -> list[FieldError]:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    errors = [] if name or uuid else [f.required(path, "one of datasetName and datasetUUID is required")]
    if name and uuid:
        errors.append(f.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
    return [*errors, f.invalid(f"{path}.datasetName", name, "must not contain '/'")] if "/" in name else errors


def _quobyte(source: Source, path: str) -> list[FieldError]:
    registry = source.get("registry") or ""
    if not registry:
        errors = [f.required(f"{path}.registry", _ADDRESSES)]
    elif len((source.get("tenant") or "").encode()) > _LONGEST_TENANT:
        errors = [f.required(f"{path}.tenant", _TENANT)]
    else:
        errors = [f.invalid(f"{path}.registry", registry, _ADDRESSES) for pair in registry.split(",") if not _is_host_and_port(pair)]
    return errors + needs("volume")(source, path)


def _is_host_and_port(pair: str) -> bool:
    """Both may be empty, but the colon is there, and the only one outside of brackets."""
    host, colon, _ = pair.rpartition(":")
    if host.startswith("["):
        return host.endswith("]") and not set(host[1:-1]) & set("[]")
    return bool(colon) and not set(pair[:-1] if pair.endswith(":") else host) & set(":[]")


def _storageos(source: Source, path: str) -> list[FieldError]:
    errors = needs("volumeName")(source, path)
    for field in ("volumeName", "volumeNamespace"):
        if source.get(field):
            errors += [f.invalid(f"{path}.{field}", source[field], m) for m in is_dns1123_label(source[field])]
    return errors + secret_errors(source, path)


def _cinder(source: Source, path: str) -> list[FieldError]:
    return needs("volumeID")(source, path) + secret_errors(source, path)


def secret_errors(source: Source, path: str, *fields: str) -> list[FieldError]:
    """A secret that is referred to is named; `fields` is what else is needed of it."""
    secret = source.get("secretRef")
    return [] if secret is None else needs("name", *fields)(secret, f"{path}.secretRef")


def _flex(source: Source, path: str) -> list[FieldError]:
    """A driver, and options that stay out of the namespaces of Kubernetes."""
    errors = needs("driver")(source, path)
    for key in sorted(source.get("options") or ()):
        domain = f".{key.partition('/')[0].lower()}"
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            errors.append(f.invalid(f"{path}.options[{key}]", key, _RESERVED))
    return errors


def _azure_disk(source: Source, path: str) -> list[FieldError]:
    errors = needs("diskName", "diskURI")(source, path)
    uri, kind = source.get("diskURI") or "", source.get("kind")
    for key, supported in (("cachingMode", ("None", "ReadOnly", "ReadWrite")), ("kind", ("Dedicated", "Managed", "Shared"))):
        if source.get(key) is not None and source[key] not in supported:
            errors.append(f.not_supported(f"{path}.{key}", source[key], supported))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        errors.append(f.not_supported(f"{path}.diskURI", uri, (_MANAGED_DISK,)))
    if kind is not None and kind != "Managed" and not uri.startswith("https://") and not uri.startswith("/subscriptions/"):
        errors.append(f.not_supported(f"{path}.diskURI", uri, (_BLOB_DISK,)))
    return errors


def csi_driver_errors(source: Source, path: str) -> list[FieldError]:
    driver = source.get("driver") or ""
    if not driver:
        return [f.required(f"{path}.driver")]
    errors = [f.too_long(f"{path}.driver", 63)] if len(driver.encode()) > 63 else []
    return errors + [f.invalid(f"{path}.driver", driver, m) for m in is_dns1123_subdomain(driver.lower())]


def _csi(source: Source, path: str) -> list[FieldError]:
    errors = csi_driver_errors(source, path)
    secret = source.get("nodePublishSecretRef")
    if secret is None:
        return errors
    if not secret.get("name"):
        return [*errors, f.required(f"{path}.nodePublishSecretRef.name")]
    return errors + [f.invalid(f"{path}.name", secret["name"], m) for m in is_dns1123_subdomain(secret["name"])]


REMOTE: dict[str, Validator] = {
    "gcePersistentDisk": _partitioned("pdName"),
    "awsElasticBlockStore": _partitioned("volumeID"),
    "nfs": _nfs,
    "iscsi": _iscsi,
    "glusterfs": needs("endpoints", "path"),
    "flocker": _flocker,
    "rbd": needs("monitors", "image"),
    "cinder": _cinder,
    "cephfs": needs("monitors"),
    "quobyte": _quobyte,
    "fc": _fibre_channel,
    "flexVolume": _flex,
    "azureFile": needs("secretName", "shareName"),
    "vsphereVolume": needs("volumePath"),
    "photonPersistentDisk": needs("pdID"),
    "portworxVolume": needs("volumeID"),
    "azureDisk": _azure_disk,
    "storageos": _storageos,
    "scaleIO": needs("gateway", "system", "volumeName"),
    "csi": _csi,
}
PATHS = {"gcePersistentDisk": "persistentDisk"}
"""Where the path in errors is not the name of the field."""
SECOND_PATHS = {"cephfs": "cephFS"}
"""The same for a source that is one too many."""
