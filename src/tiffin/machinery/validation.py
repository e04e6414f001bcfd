"""Validation of metadata, shared by all kinds.

Kubernetes validates metadata more than once on an update and reports every finding each time, so the causes of a Status
repeat. The pieces here are therefore separate, in the order in which they are reported:

* create: `validate_object_meta` with the name rule of the kind, then what the kind finds in the rest;
* update: `validate_common_update`, which is the generic part, then the kind's part, which begins with `validate_object_meta_update`.

`metadata` here is always the dictionary, never the whole object. Source: API conventions, "Metadata".
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_label, is_label_value, is_path_segment_name, is_path_segment_prefix, is_qualified_name

NameValidator = Callable[[str, bool], list[str]]
"""What is wrong with a name; the flag is true for a generateName."""

ANNOTATIONS_LIMIT = 256 * 1024
_FIELD_MANAGER_LIMIT = 128
_SUBRESOURCE_LIMIT = 256
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_OWNER_FIELDS = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
IMMUTABLE = "field is immutable"


def path_segment_name(name: str, prefix: bool) -> list[str]:
    """The least any name must satisfy, and all that roles, bindings and the like ask for."""
    return is_path_segment_prefix(name) if prefix else is_path_segment_name(name)


def validate_object_meta(
    meta: Mapping[str, Any], *, namespaced: bool, name_validator: NameValidator, path: str = "metadata", any_finalizers: bool = False
) -> list[FieldError]:
    """Violations in metadata: name, namespace, generation, labels, annotations, owners, finalizers, managers.

    `any_finalizers`: they need not have a domain, as with custom resources.
    """
    errors = _validate_accessor(meta, namespaced, name_validator, path)
    for index, finalizer in enumerate(meta.get("finalizers") or () if not any_finalizers else ()):
        errors += validate_finalizer_name(finalizer, f"{path}.finalizers[{index}]")
    return errors


def _validate_accessor(meta: Mapping[str, Any], namespaced: bool, name_validator: NameValidator, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, prefix, namespace = meta.get("name") or "", meta.get("generateName"), meta.get("namespace")
    if prefix:
        errors += [f.invalid(f"{path}.generateName", prefix, m) for m in name_validator(prefix, True)]
    if not name:
        errors.append(f.required(f"{path}.name", "name or generateName is required"))
    else:
        errors += [f.invalid(f"{path}.name", name, m) for m in name_validator(name, False)]
    if namespaced:
        if not namespace:
            errors.append(f.required(f"{path}.namespace"))
        else:
            errors += [f.invalid(f"{path}.namespace", namespace, m) for m in is_dns1123_label(namespace)]
    elif namespace:
        errors.append(f.forbidden(f"{path}.namespace", "not allowed on this type"))
    errors += validate_nonnegative(meta.get("generation") or 0, f"{path}.generation")
    errors += validate_labels(meta.get("labels"), f"{path}.labels")
    errors += validate_annotations(meta.get("annotations"), f"{path}.annotations")
    errors += validate_owner_references(meta.get("ownerReferences"), f"{path}.ownerReferences")
    errors += validate_finalizers(meta.get("finalizers"), f"{path}.finalizers")
    errors += validate_managed_fields(meta.get("managedFields"), f"{path}.managedFields")
    return errors


def validate_object_meta_update(new: Mapping[str, Any], old: Mapping[str, Any], path: str = "metadata") -> list[FieldError]:
    """Violations of what may change in metadata. Both are as prepared: what a client left out has been taken over from `old`."""
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        errors += _validate_no_new_finalizers(new.get("finalizers") or (), old.get("finalizers") or (), f"{path}.finalizers")
    if not new.get("resourceVersion"):
        errors.append(f.invalid(f"{path}.resourceVersion", "", "must be specified for an update"))
    if (new.get("generation") or 0) < (old.get("generation") or 0):
        errors.append(f.invalid(f"{path}.generation", new.get("generation") or 0, "must not be decremented"))
    for key in ("name", "namespace", "uid"):
        errors += validate_immutable_field(new.get(key) or "", old.get(key) or "", f"{path}.{key}")
    for key in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        errors += validate_immutable_field(new.get(key), old.get(key), f"{path}.{key}")
    errors += validate_labels(new.get("labels"), f"{path}.labels")
    errors += validate_annotations(new.get("annotations"), f"{path}.annotations")
    errors += validate_owner_references(new.get("ownerReferences"), f"{path}.ownerReferences")
    errors += validate_managed_fields(new.get("managedFields"), f"{path}.managedFields")
    return errors


def validate_common_update(new: Mapping[str, Any], old: Mapping[str, Any], *, namespaced: bool) -> list[FieldError]:
    """What the generic path finds in the metadata of an update, before the kind looks at it."""
    return _validate_accessor(new, namespaced, path_segment_name, "metadata") + validate_object_meta_update(new, old)


def take_over_metadata(new: dict[str, Any], old: Mapping[str, Any]) -> None:
    """Puts into `new` what a client may leave out of an update, or may not change without it being an error."""
    if not new.get("uid"):
        new["uid"] = old.get("uid")
    if old.get("creationTimestamp"):
        new["creationTimestamp"] = old["creationTimestamp"]
    if old.get("deletionTimestamp"):
        new["deletionTimestamp"] = old["deletionTimestamp"]
    if old.get("deletionGracePeriodSeconds") is not None and new.get("deletionGracePeriodSeconds") is None:
        new["deletionGracePeriodSeconds"] = old["deletionGracePeriodSeconds"]


def validate_nonnegative(value: int, path: str) -> list[FieldError]:
    return [] if value >= 0 else [f.invalid(path, value, "must be greater than or equal to 0")]


def validate_immutable_field(new: Any, old: Any, path: str) -> list[FieldError]:
    """An error when the values differ; null, empty and absent containers count as equal."""
    if new == old or (not new and not old and type(new) in _CONTAINERS and type(old) in _CONTAINERS):
        return []
    return [f.invalid(path, new, IMMUTABLE)]


_CONTAINERS = (dict, list, type(None))


@lru_cache(maxsize=4096)
def _valid_label(key: str, value: str) -> bool:
    return not is_qualified_name(key) and not is_label_value(value)


def validate_labels(labels: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """Violations in a map of labels, by key."""
    if not labels or all(_valid_label(k, v) for k, v in labels.items()):
        return []
    errors = []
    for key, value in sorted(labels.items()):
        errors += [f.invalid(path, key, m) for m in is_qualified_name(key)]
        errors += [f.invalid(path, value, m) for m in is_label_value(value)]
    return errors


def validate_annotations(annotations: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """Violations in annotations: keys are qualified names of either case, keys and values at most 256 KiB in all."""
    if not annotations:
        return []
    errors = [f.invalid(path, key, m) for key in sorted(annotations) for m in is_qualified_name(key.lower())]
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > ANNOTATIONS_LIMIT:
        errors.append(f.too_long(path, ANNOTATIONS_LIMIT))
    return errors


def _owner_shown(reference: Mapping[str, Any]) -> dict[str, Any]:
    shown = {key: reference.get(key) or "" for key in _OWNER_FIELDS[:4]}
    return shown | {key: reference[key] for key in _OWNER_FIELDS[4:] if reference.get(key) is not None}


def validate_owner_references(references: Iterable[Mapping[str, Any]] | None, path: str) -> list[FieldError]:
    """Violations in owner references: each complete, events excluded, one controller at most."""
    if not references:
        return []
    errors: list[FieldError] = []
    references = list(references)
    controller = ""
    for reference in references:
        errors += _validate_owner_reference(reference, path)
        if reference.get("controller"):
            current = f"{reference.get('kind') or ''}/{reference.get('name') or ''}"
            if controller:
                detail = f'Only one reference can have Controller set to true. Found "true" in references for {controller} and {current}'
                errors.append(f.invalid(path, [_owner_shown(r) for r in references], detail))
            else:
                controller = current
    return errors


def _validate_owner_reference(reference: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    api_version = reference.get("apiVersion") or ""
    group, _, version = api_version.rpartition("/") if api_version.count("/") <= 1 else ("", "", "")
    if not version:
        errors.append(f.invalid(f"{path}.apiVersion", api_version, "version must not be empty"))
    errors += [f.invalid(f"{path}.{key}", "", "must not be empty") for key in ("kind", "name", "uid") if not reference.get(key)]
    if (group, version, reference.get("kind")) == ("", "v1", "Event"):
        errors.append(f.invalid(path, _owner_shown(reference), "/v1, Kind=Event is disallowed from being an owner"))
    return errors


def validate_finalizers(finalizers: Iterable[str] | None, path: str) -> list[FieldError]:
    """Violations in the list of finalizers as a whole."""
    if not finalizers:
        return []
    errors = [f.invalid(path, name, m) for name in finalizers for m in is_qualified_name(name)]
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        errors.append(f.invalid(path, list(finalizers), "finalizer orphan and foregroundDeletion cannot be both set"))
    return errors


def validate_finalizer_name(finalizer: str, path: str) -> list[FieldError]:
    """A finalizer is one of the standard names or has a domain."""
    if "/" in finalizer or finalizer in _STANDARD_FINALIZERS:
        return []
    return [f.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")]


def _validate_no_new_finalizers(new: Iterable[str], old: Iterable[str], path: str) -> list[FieldError]:
    extra = sorted(set(new) - set(old))
    if not extra:
        return []
    listed = ", ".join(f.shown(name) for name in extra)
    return [f.forbidden(path, f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}")]


def validate_managed_fields(entries: Iterable[Mapping[str, Any]] | None, path: str) -> list[FieldError]:
    """Violations in the entries of managedFields."""
    errors: list[FieldError] = []
    for index, entry in enumerate(entries or ()):
        at = f"{path}[{index}]"
        if entry.get("operation") not in ("Apply", "Update"):
            errors.append(f.invalid(f"{at}.operation", entry.get("operation") or "", "must be `Apply` or `Update`"))
        if entry.get("fieldsType") and entry["fieldsType"] != "FieldsV1":
            errors.append(f.invalid(f"{at}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        errors += validate_field_manager(entry.get("manager") or "", f"{at}.manager")
        if len(entry.get("subresource") or "") > _SUBRESOURCE_LIMIT:
            errors.append(f.too_long(f"{at}.subresource", _SUBRESOURCE_LIMIT))
    return errors


def validate_field_manager(manager: str, path: str) -> list[FieldError]:
    """A manager's name: printable, at most 128 bytes."""
    errors = [] if len(manager.encode()) <= _FIELD_MANAGER_LIMIT else [f.too_long(path, _FIELD_MANAGER_LIMIT)]
    if not manager.isprintable():
        errors += [
            f.invalid(path, manager, f"invalid character U+{ord(c):04X} (at position {len(manager[:i].encode())})")
            for i, c in enumerate(manager) if not c.isprintable()
        ]
    return errors
