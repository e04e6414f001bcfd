"""Validation of the volumes of a pod: names, and exactly one source each.

A source is validated by the function its type has in `SOURCES`, which lists the types in the order in which Kubernetes looks
at them; the first one found counts, any further one is refused.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tiffin.api.core.persistentvolumeclaim import claim_spec_errors
from tiffin.api.core.podspec.paths import descending, descending_not_reserved, no_backsteps
from tiffin.api.core.podspec.references import VOLUME_FIELDS, validate_field_reference, validate_resource_reference
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_label, is_dns1123_subdomain
from tiffin.machinery.quantity import sign
from tiffin.machinery.validation import validate_annotations, validate_labels

Source = dict[str, Any]
Validator = Callable[[Source, str], list[FieldError]]

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_DUPLICATE_PATHS = "conflicting duplicate paths"
_LUN = "must be between 0 and 255, inclusive"
_PARTITION = "must be between 1 and 255, inclusive"
_MANAGED_DISK = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB_DISK = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_ADDRESSES = "must be a host:port pair or multiple pairs separated by commas"


def validate_volumes(volumes: list[Source] | None, path: str, pod_name: str = "") -> tuple[dict[str, Source], list[FieldError]]:
    """The valid volumes by name, and the violations. `pod_name` is empty in templates."""
    valid: dict[str, Source] = {}
    errors: list[FieldError] = []
    created = {f"{pod_name}-{v.get('name')}" for v in volumes or () if v.get("ephemeral") is not None} if pod_name else set()
    for index, volume in enumerate(volumes or ()):
        at, name = f"{path}[{index}]", volume.get("name") or ""
        found = _validate_source(volume, at)
        found += [f.invalid(f"{at}.name", name, m) for m in is_dns1123_label(name)] if name else [f.required(f"{at}.name")]
        if name in valid:
            found.append(f.duplicate(f"{at}.name", name))
        if found:
            errors += found
        else:
            valid[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim in created:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(f.invalid(f"{at}.persistentVolumeClaim.claimName", claim, detail))
    return valid, errors


def _validate_source(volume: Source, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    found = False
    for kind, validate in SOURCES.items():
        source = volume.get(kind)
        if source is None:
            continue
        if found:
            errors.append(f.forbidden(f"{path}.{kind}", "may not specify more than 1 volume type"))
        else:
            errors += validate(source, f"{path}.{_PATHS.get(kind, kind)}")
        found = True
    return errors if found else [f.required(path, "must specify a volume type")]


def _needs(*fields: str) -> Validator:
    """A source that only needs these fields to be there."""

    def validate(source: Source, path: str) -> list[FieldError]:
        return [f.required(f"{path}.{field}") for field in fields if not source.get(field)]

    return validate


def _mode(source: Source, key: str, path: str) -> list[FieldError]:
    mode = source.get(key)
    return [f.invalid(f"{path}.{key}", mode, _MODE)] if mode is not None and not 0 <= mode <= 0o777 else []


# --- local sources -------------------------------------------------------------------------------------------------------


def _empty_dir(source: Source, path: str) -> list[FieldError]:
    limit = source.get("sizeLimit")
    if limit is not None and sign(limit) < 0:
        return [f.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _host_path(source: Source, path: str) -> list[FieldError]:
    if not source.get("path"):
        return [f.required(f"{path}.path")]
    errors = no_backsteps(source["path"], f"{path}.path")
    kind = source.get("type")
    return errors if kind is None or kind in _HOST_PATH_TYPES else [*errors, f.not_supported(f"{path}.type", kind, _HOST_PATH_TYPES)]


def _git_repo(source: Source, path: str) -> list[FieldError]:
    return _needs("repository")(source, path) + descending(source.get("directory") or "", f"{path}.directory")


def _key_to_path(item: Source, path: str) -> list[FieldError]:
    errors = _needs("key", "path")(item, path)
    if item.get("path"):
        errors += descending_not_reserved(item["path"], f"{path}.path")
    return errors + _mode(item, "mode", path)


def _files_of(name_field: str) -> Validator:
    """A secret or config map, whose name is in `name_field`."""

    def validate(source: Source, path: str) -> list[FieldError]:
        errors = _needs(name_field)(source, path) + _mode(source, "defaultMode", path)
        return errors + [e for i, item in enumerate(source.get("items") or ()) for e in _key_to_path(item, f"{path}.items[{i}]")]

    return validate


def _downward_api(source: Source, path: str) -> list[FieldError]:
    return _mode(source, "defaultMode", path) + [e for item in source.get("items") or () for e in _downward_file(item, path)]


def _downward_file(item: Source, path: str) -> list[FieldError]:
    errors = _needs("path")(item, path) + descending_not_reserved(item.get("path") or "", f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        errors += validate_field_reference(field, VOLUME_FIELDS, f"{path}.fieldRef")
        if resource is not None:
            errors.append(f.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
    elif resource is not None:
        errors += validate_resource_reference(resource, f"{path}.resourceFieldRef", in_volume=True)
    else:
        errors.append(f.required(path, "one of fieldRef and resourceFieldRef is required"))
    return errors + _mode(item, "mode", path)


def _projected(source: Source, path: str) -> list[FieldError]:
    errors = _mode(source, "defaultMode", path)
    taken: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        given = [kind for kind in ("secret", "configMap", "downwardAPI", "serviceAccountToken", "podCertificate") if projection.get(kind) is not None]
        for kind in given:
            errors += _projection(kind, projection[kind], f"{at}.{kind}", path)
            for claimed, shown in _claimed_paths(kind, projection[kind]):
                if claimed in taken:
                    errors.append(f.invalid(path, shown, _DUPLICATE_PATHS))
                taken.add(claimed)
        if len(given) > 1:
            errors.append(f.forbidden(at, "may not specify more than 1 volume type per source"))
    return errors


def _projection(kind: str, source: Source, at: str, path: str) -> list[FieldError]:
    """One projection at `at`; the paths of tokens are reported at `path`, the projected volume."""
    if kind in ("secret", "configMap"):
        return _files_of("name")(source | {"defaultMode": None}, at)
    if kind == "downwardAPI":
        return [e for item in source.get("items") or () for e in _downward_file(item, at)]
    if kind == "podCertificate":
        return _needs("signerName", "keyType")(source, at)
    seconds = source.get("expirationSeconds") or 0
    errors = []
    if seconds < 600:
        errors.append(f.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    if seconds > 1 << 32:
        errors.append(f.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"))
    return errors + (descending_not_reserved(source["path"], f"{path}.path") if source.get("path") else [f.required(f"{path}.path")])


def _claimed_paths(kind: str, source: Source) -> Iterator[tuple[str, str]]:
    """Paths that a projection writes, each with what an error about it shows."""
    if kind == "serviceAccountToken":
        if source.get("path"):
            yield source["path"], source["path"]
        return
    for item in source.get("items") or ():
        if item.get("path"):
            yield item["path"], item["path"] if kind == "downwardAPI" else source.get("name") or ""


def _image(source: Source, path: str) -> list[FieldError]:
    errors = _needs("reference")(source, path)
    policy = source.get("pullPolicy")
    return [*errors, f.not_supported(f"{path}.pullPolicy", policy, _PULL_POLICIES)] if policy and policy not in _PULL_POLICIES else errors


def _ephemeral(source: Source, path: str) -> list[FieldError]:
    template = source.get("volumeClaimTemplate")
    path = f"{path}.volumeClaimTemplate"
    if template is None:
        return [f.required(path)]
    meta = template.get("metadata") or {}
    errors = validate_labels(meta.get("labels"), f"{path}.labels") + validate_annotations(meta.get("annotations"), f"{path}.annotations")
    return errors + claim_spec_errors(template.get("spec") or {}, f"{path}.spec")


# --- network and cloud sources -------------------------------------------------------------------------------------------


def _nfs(source: Source, path: str) -> list[FieldError]:
    errors = _needs("server", "path")(source, path)
    exported = source.get("path") or ""
    return errors if exported.startswith("/") else [*errors, f.invalid(f"{path}.path", exported, "must be an absolute path")]


def _lun(source: Source, path: str) -> list[FieldError]:
    lun = source.get("lun") or 0
    return [] if 0 <= lun <= 255 else [f.invalid(f"{path}.lun", lun, _LUN)]


def _iscsi(source: Source, path: str) -> list[FieldError]:
    errors = _needs("targetPortal", "iqn")(source, path)
    name = source.get("iqn") or ""
    if name and not name.startswith(("iqn", "eui", "naa")):
        errors.append(f.invalid(f"{path}.iqn", name, "must be valid format starting with iqn, eui, or naa"))
    errors += _lun(source, path)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        errors.append(f.required(f"{path}.secretRef"))
    return errors


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
    return errors + _lun(source, path)


def _partitioned(name_field: str) -> Validator:
    def validate(source: Source, path: str) -> list[FieldError]:
        partition = source.get("partition") or 0
        errors = _needs(name_field)(source, path)
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
    errors = [] if registry else [f.required(f"{path}.registry", _ADDRESSES)]
    for pair in registry.split(",") if registry else ():
        if pair.count(":") != 1 or not all(pair.split(":")):
            errors.append(f.invalid(f"{path}.registry", registry, _ADDRESSES))
    return errors + _needs("volume")(source, path)


def _azure_disk(source: Source, path: str) -> list[FieldError]:
    errors = _needs("diskName", "diskURI")(source, path)
    uri, kind = source.get("diskURI") or "", source.get("kind")
    for key, supported in (("cachingMode", ("None", "ReadOnly", "ReadWrite")), ("kind", ("Dedicated", "Managed", "Shared"))):
        if source.get(key) is not None and source[key] not in supported:
            errors.append(f.not_supported(f"{path}.{key}", source[key], supported))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        errors.append(f.not_supported(f"{path}.diskURI", uri, (_MANAGED_DISK,)))
    if kind is not None and kind != "Managed" and not uri.startswith("https://") and not uri.startswith("/subscriptions/"):
        errors.append(f.not_supported(f"{path}.diskURI", uri, (_BLOB_DISK,)))
    return errors


def _csi(source: Source, path: str) -> list[FieldError]:
    driver = source.get("driver") or ""
    errors = [] if driver else [f.required(f"{path}.driver")]
    if len(driver) > 63:
        errors.append(f.too_long(f"{path}.driver", 63))
    if driver:
        errors += [f.invalid(f"{path}.driver", driver, m) for m in is_dns1123_subdomain(driver.lower())]
    secret = source.get("nodePublishSecretRef")
    return errors if secret is None or secret.get("name") else [*errors, f.required(f"{path}.nodePublishSecretRef.name")]


SOURCES: dict[str, Validator] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": _partitioned("pdName"),
    "awsElasticBlockStore": _partitioned("volumeID"),
    "secret": _files_of("secretName"),
    "nfs": _nfs,
    "iscsi": _iscsi,
    "glusterfs": _needs("endpoints", "path"),
    "flocker": _flocker,
    "persistentVolumeClaim": _needs("claimName"),
    "rbd": _needs("monitors", "image"),
    "cinder": _needs("volumeID"),
    "cephfs": _needs("monitors"),
    "quobyte": _quobyte,
    "downwardAPI": _downward_api,
    "fc": _fibre_channel,
    "flexVolume": _needs("driver"),
    "configMap": _files_of("name"),
    "azureFile": _needs("secretName", "shareName"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _azure_disk,
    "storageos": _needs("volumeName"),
    "projected": _projected,
    "scaleIO": _needs("gateway", "system", "volumeName"),
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
_PATHS = {"gcePersistentDisk": "persistentDisk"}
"""Where the path in errors is not the name of the field."""
