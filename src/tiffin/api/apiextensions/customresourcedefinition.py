"""CustomResourceDefinition: a kind of one's own, in one or more versions of which one is stored.

The status lists every version that was ever stored; a version stays until it is taken off that list. Conditions and accepted
names are written by the apiserver (`apiserver/crd.py`).
"""
from __future__ import annotations

from typing import Any

from tiffin.api.apiextensions.conditions import set_condition
from tiffin.api.apiextensions.crd_validation import definition_errors, name_errors, update_errors
from tiffin.api.kind import Context, Kind, Subresource
from tiffin.api.printing import NAME_AND_CREATED, name_and_created
from tiffin.api.strategy import changed, keep, next_generation, start_generation
from tiffin.machinery.field import FieldError, quoted
from tiffin.machinery.object import Object, dig
from tiffin.machinery.structural.formats import recognized

_PENDING = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    given = spec.setdefault("names", {})
    kind = given.get("kind") or ""
    if kind and not given.get("singular"):
        given["singular"] = kind.lower()
    if kind and not given.get("listKind"):
        given["listKind"] = f"{kind}List"
    conversion = spec.setdefault("conversion", {})
    conversion["strategy"] = conversion.get("strategy") or "None"
    service = dig(conversion, "webhook", "clientConfig", "service")
    if service is not None:
        service.setdefault("port", 443)
    _complete_status(obj.setdefault("status", {}))


def _complete_status(status: dict[str, Any]) -> None:
    status.setdefault("conditions", None)
    accepted = status["acceptedNames"] = status.get("acceptedNames") or {}
    accepted.setdefault("plural", "")
    accepted.setdefault("kind", "")
    status.setdefault("storedVersions", None)


def _storage_version(obj: Object) -> str | None:
    return next((version["name"] for version in dig(obj, "spec", "versions", default=[]) if version.get("storage")), None)


def prepare_for_create(obj: Object, context: Context) -> None:
    start_generation(obj, context)
    stored = _storage_version(obj)
    obj["status"] = {"storedVersions": [stored] if stored is not None else None}
    _complete_status(obj["status"])


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "status")
    if changed(new, old, "spec"):
        next_generation(new, old)
    _note_storage_version(new)


def prepare_status(new: Object, old: Object, context: Context) -> None:
    """Through /status the spec stays as it is. The metadata may change, other than with most kinds."""
    keep(new, old, "spec")
    if not dig(new, "status", "storedVersions", default=[]):
        _note_storage_version(new)


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    return name_errors(dig(new, "status", "acceptedNames", default={}), "status.acceptedNames")


def _note_storage_version(obj: Object) -> None:
    """The storage version is among the stored ones, whatever the client says."""
    stored, known = _storage_version(obj), dig(obj, "status", "storedVersions", default=[])
    if stored is not None and stored not in known:
        obj["status"] = (obj.get("status") or {}) | {"storedVersions": [*known, stored]}


def mark_deleted(obj: Object) -> None:
    """A definition that goes says so at once; its spec has not changed, and there is nothing to wait for but its objects."""
    metadata = obj["metadata"]
    if metadata.pop("deletionGracePeriodSeconds", None) is None:
        return
    metadata["generation"] -= 1
    conditions = list(dig(obj, "status", "conditions", default=[]))
    set_condition(conditions, "Terminating", "True", "InstanceDeletionPending", _PENDING, metadata["deletionTimestamp"])
    obj["status"] = {**(obj.get("status") or {}), "conditions": conditions}


def warnings(new: Object, old: Object | None) -> list[str]:
    """Formats nothing checks, of which the definition did not speak before."""
    known = set(_odd_formats(old)) if old is not None else set()
    return [f"unrecognized format {quoted(name)}" for name in _odd_formats(new) if name not in known]


def _odd_formats(crd: Object) -> list[str]:
    found: list[str] = []
    for version in dig(crd, "spec", "versions", default=[]):
        found += _formats_in(dig(version, "schema", "openAPIV3Schema", default={}))
    return found


def _formats_in(schema: Any) -> list[str]:
    """The formats in a schema that are not recognized, each as often as it stands there."""
    if not isinstance(schema, dict):
        return []
    found = [schema["format"]] if schema.get("format") and not recognized(schema["format"]) else []
    for key in ("items", "not", "additionalProperties"):
        found += _formats_in(schema.get(key))
    for key in ("allOf", "anyOf", "oneOf"):
        for sub in schema.get(key) or ():
            found += _formats_in(sub)
    for sub in (schema.get("properties") or {}).values():
        found += _formats_in(sub)
    return found


def validate(obj: Object, context: Context) -> list[FieldError]:
    return definition_errors(obj, _may_stay_unpruned(obj, None, context))


def _may_stay_unpruned(new: Object, old: Object | None, context: Context) -> bool:
    """Whether a definition may keep fields that no schema names: made through the retired v1beta1, or so before."""
    before = old is not None and bool(dig(old, "spec", "preserveUnknownFields"))
    return bool(dig(new, "spec", "preserveUnknownFields")) and (before or context.api_version == "apiextensions.k8s.io/v1beta1")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return update_errors(new, old, _may_stay_unpruned(new, old, context))


KIND = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    schema="io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    singular="customresourcedefinition",
    any_finalizers=True,
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources=(
        Subresource("status", updates_object=True, prepare=prepare_status, validate=validate_status),
    ),
    unconditional_update=False,
    deletion_finalizers=("customresourcecleanup.apiextensions.k8s.io",),
    mark_deleted=mark_deleted,
    warnings=warnings,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    columns=NAME_AND_CREATED,
    row=name_and_created,
)
