"""Validation of the volumes of a pod: names, and exactly one source each.

A source is validated by the function its type has in `SOURCES`, which lists the types in the order in which Kubernetes looks
at them; the first one found counts, any further one is refused.
"""
from __future__ import annotations

from collections.abc import Iterator

from tiffin.api.core.persistentvolumeclaim import claim_spec_errors
from tiffin.api.core.podspec.paths import descending, descending_not_reserved, no_backsteps
from tiffin.api.core.podspec.references import VOLUME_FIELDS, validate_field_reference, validate_resource_reference
from tiffin.api.core.podspec.remotevolumes import PATHS, REMOTE, SECOND_PATHS, Source, Validator, iscsi_length_errors, needs
from tiffin.api.template_metadata import template_metadata_errors
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_label, is_dns1123_subdomain
from tiffin.machinery.quantity import sign

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_DUPLICATE_PATHS = "conflicting duplicate paths"


def validate_volumes(volumes: list[Source] | None, path: str, pod_name: str = "") -> tuple[dict[str, Source], list[FieldError]]:
    """The valid volumes by name, and the violations. `pod_name` is empty in templates."""
    valid: dict[str, Source] = {}
    errors: list[FieldError] = []
    created = {f"{pod_name}-{v.get('name')}" for v in volumes or () if v.get("ephemeral") is not None} if pod_name else set()
    for index, volume in enumerate(volumes or ()):
        at, name = f"{path}[{index}]", volume.get("name") or ""
        found = _validate_source(volume, at, pod_name)
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


def _validate_source(volume: Source, path: str, pod_name: str) -> list[FieldError]:
    given = [kind for kind, source in volume.items() if source is not None and kind in SOURCES]
    if not given:
        return [f.required(path, "must specify a volume type")]
    first, *others = given if len(given) == 1 else sorted(given, key=_ORDER.index)
    errors = [f.required(f"{path}.image.reference")] if first == "image" and pod_name and not volume["image"].get("reference") else []
    errors += SOURCES[first](volume[first], f"{path}.{PATHS.get(first, first)}")
    if first == "ephemeral" and pod_name and volume.get("name"):
        claim = f"{pod_name}-{volume['name']}"
        errors += [f.invalid(f"{path}.name", volume["name"], f"PVC name {f.quoted(claim)}: {m}") for m in is_dns1123_subdomain(claim)]
    if "iscsi" in given:
        name = volume.get("name") or ""
        errors += iscsi_length_errors(name, volume["iscsi"], f"{path}.name", name)
    return errors + [f.forbidden(f"{path}.{_SECOND_PATHS.get(kind, kind)}", "may not specify more than 1 volume type") for kind in others]


def _mode(source: Source, key: str, path: str) -> list[FieldError]:
    mode = source.get(key)
    return [f.invalid(f"{path}.{key}", mode, _MODE)] if mode is not None and not 0 <= mode <= 0o777 else []


# --- local sources -------------------------------------------------------------------------------------------------------


def _empty_dir(source: Source, path: str) -> list[FieldError]:
    limit = source.get("sizeLimit")
    if limit is not None and sign(limit) < 0:
        return [f.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def host_path_errors(source: Source, path: str) -> list[FieldError]:
    if not source.get("path"):
        return [f.required(f"{path}.path")]
    errors = no_backsteps(source["path"], f"{path}.path")
    kind = source.get("type")
    return errors if kind is None or kind in _HOST_PATH_TYPES else [*errors, f.not_supported(f"{path}.type", kind, _HOST_PATH_TYPES)]


def _git_repo(source: Source, path: str) -> list[FieldError]:
    return needs("repository")(source, path) + descending(source.get("directory") or "", f"{path}.directory")


def _key_to_path(item: Source, path: str) -> list[FieldError]:
    errors = needs("key", "path")(item, path)
    if item.get("path"):
        errors += descending_not_reserved(item["path"], f"{path}.path")
    return errors + _mode(item, "mode", path)


def _files_of(name_field: str) -> Validator:
    """A secret or config map, whose name is in `name_field`."""

    def validate(source: Source, path: str) -> list[FieldError]:
        errors = needs(name_field)(source, path) + _mode(source, "defaultMode", path)
        return errors + [e for i, item in enumerate(source.get("items") or ()) for e in _key_to_path(item, f"{path}.items[{i}]")]

    return validate


def _downward_api(source: Source, path: str) -> list[FieldError]:
    return _mode(source, "defaultMode", path) + [e for item in source.get("items") or () for e in _downward_file(item, path)]


def _downward_file(item: Source, path: str) -> list[FieldError]:
    errors = needs("path")(item, path) + descending_not_reserved(item.get("path") or "", f"{path}.path")
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
        given = [kind for kind in ("secret", "configMap", "downwardAPI", "serviceAccountToken") if projection.get(kind) is not None]
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
    seconds = source.get("expirationSeconds") or 0
    errors = []
    if seconds < 600:
        errors.append(f.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    if seconds > 1 << 32:
        errors.append(f.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"))
    return errors + (descending_not_reserved(source["path"], f"{path}.path") if source.get("path") else [f.required(f"{path}.path")])


def _claimed_paths(kind: str, source: Source) -> Iterator[tuple[str, str]]:
    """Paths that a projection writes, each with what an error about it shows. Those of tokens are only warned about."""
    for item in source.get("items") or ():
        if item.get("path"):
            yield item["path"], item["path"] if kind == "downwardAPI" else source.get("name") or ""


def _image(source: Source, path: str) -> list[FieldError]:
    """Templates may leave the reference to be filled in; pods may not, which is told before."""
    policy = source.get("pullPolicy")
    return [f.not_supported(f"{path}.pullPolicy", policy, _PULL_POLICIES)] if policy and policy not in _PULL_POLICIES else []


def _ephemeral(source: Source, path: str) -> list[FieldError]:
    template = source.get("volumeClaimTemplate")
    path = f"{path}.volumeClaimTemplate"
    if template is None:
        return [f.required(path)]
    meta = template.get("metadata") or {}
    return template_metadata_errors(meta, f"{path}.metadata") + claim_spec_errors(template.get("spec") or {}, f"{path}.spec")


_LOCAL: dict[str, Validator] = {
    "emptyDir": _empty_dir,
    "hostPath": host_path_errors,
    "gitRepo": _git_repo,
    "secret": _files_of("secretName"),
    "persistentVolumeClaim": needs("claimName"),
    "downwardAPI": _downward_api,
    "configMap": _files_of("name"),
    "projected": _projected,
    "ephemeral": _ephemeral,
    "image": _image,
}
_ORDER = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi", "glusterfs", "flocker",
    "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc", "flexVolume", "configMap", "azureFile", "vsphereVolume",
    "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)
SOURCES: dict[str, Validator] = {kind: (_LOCAL | REMOTE)[kind] for kind in _ORDER}
_SECOND_PATHS = SECOND_PATHS | {"downwardAPI": "downwarAPI"}
