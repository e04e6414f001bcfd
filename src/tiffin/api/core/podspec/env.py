"""Validation of the environment of a container: `env` and `envFrom`."""
from __future__ import annotations

from typing import Any

from tiffin.api.core.podspec.paths import descending_not_reserved
from tiffin.api.core.podspec.references import ENV_FIELDS, validate_field_reference, validate_key_reference, validate_resource_reference
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_subdomain, is_env_var_name

_ONE_OF = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def validate_env(variables: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    """Violations in a list of EnvVar."""
    errors: list[FieldError] = []
    for index, variable in enumerate(variables or ()):
        at = f"{path}[{index}]"
        name = variable.get("name") or ""
        if not name:
            errors.append(f.required(f"{at}.name"))
        else:
            errors += [f.invalid(f"{at}.name", name, m) for m in is_env_var_name(name)]
        source = variable.get("valueFrom")
        if source is not None:
            errors += _validate_source(source, variable.get("value") or "", f"{at}.valueFrom")
    return errors


def _validate_source(source: dict[str, Any], value: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    given = [name for name in _SOURCES if source.get(name) is not None]
    for name in given:
        reference, at = source[name], f"{path}.{name}"
        match name:
            case "fieldRef":
                errors += validate_field_reference(reference, ENV_FIELDS, at)
            case "resourceFieldRef":
                errors += validate_resource_reference(reference, at, in_volume=False)
            case "fileKeyRef":
                errors += _validate_file_key(reference, at)
            case _:
                errors += validate_key_reference(reference, at)
    if not given:
        errors.append(f.invalid(path, "", _ONE_OF))
    elif value:
        errors.append(f.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        errors.append(f.invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def _validate_file_key(reference: dict[str, Any], path: str) -> list[FieldError]:
    key, file = reference.get("key") or "", reference.get("path") or ""
    errors = [f.invalid(f"{path}.key", key, m) for m in is_env_var_name(key)] if key else [f.required(f"{path}.key")]
    if not reference.get("volumeName"):
        errors.append(f.required(f"{path}.volumeName"))
    return errors + (descending_not_reserved(file, f"{path}.path") if file else [f.required(f"{path}.path")])


def validate_env_from(sources: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    """Violations in a list of EnvFromSource."""
    errors: list[FieldError] = []
    for index, source in enumerate(sources or ()):
        at = f"{path}[{index}]"
        prefix = source.get("prefix") or ""
        if prefix:
            errors += [f.invalid(f"{at}.prefix", prefix, m) for m in is_env_var_name(prefix)]
        given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in given:
            referred = source[name].get("name") or ""
            if not referred:
                errors.append(f.required(f"{at}.{name}.name"))
            errors += [f.invalid(f"{at}.{name}.name", referred, m) for m in is_dns1123_subdomain(referred)] if referred else []
        if not given:
            errors.append(f.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errors.append(f.invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def validate_file_volumes(container: dict[str, Any], volumes: dict[str, dict[str, Any]], path: str) -> list[FieldError]:
    """`fileKeyRef` reads from an emptyDir volume of the pod."""
    errors: list[FieldError] = []
    for index, variable in enumerate(container.get("env") or ()):
        source = variable.get("valueFrom")
        name = (source.get("fileKeyRef") or {}).get("volumeName") if source else None
        if not name:
            continue
        at = f"{path}.env[{index}].valueFrom.fileKeyRef.volumeName"
        if name not in volumes:
            errors.append(f.not_found(at, name))
        elif volumes[name].get("emptyDir") is None:
            errors.append(f.invalid(at, name, "referenced volume must be of type emptyDir"))
    return errors
