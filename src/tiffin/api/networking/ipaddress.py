"""IPAddress: one address of a Service range that is taken, and by whom. Its name is the address in canonical form."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import named
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name


def validate(obj: Object, context: Context) -> list[FieldError]:
    reference = dig(obj, "spec", "parentRef")
    if reference is None:
        return [required("spec.parentRef")]
    errors: list[FieldError] = []
    for field, needed in (("group", False), ("resource", True), ("name", True), ("namespace", False)):
        value, path = reference.get(field) or "", f"spec.parentRef.{field}"
        if not value:
            errors += [required(path)] if needed else []
        elif field == "group":
            errors += named(value, path, names.is_dns1123_subdomain)
        else:
            errors += named(value, path, names.is_path_segment_name)
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors, reference = validate(new, context), dig(new, "spec", "parentRef")
    if reference == dig(old, "spec", "parentRef"):
        return errors
    shown = reference and {key.capitalize(): reference.get(key, "") for key in ("group", "resource", "namespace", "name")}
    return [*errors, invalid("spec.parentRef", shown, "field is immutable")]


def validate_name(name: str, prefix: bool) -> list[str]:
    complaints = names.is_strict_ip(name)
    canonical = str(names.parse_ip(name))
    return complaints if complaints or canonical == name else [f'must be in canonical form ("{canonical}")']


def parent_text(obj: Object) -> str:
    reference = dig(obj, "spec", "parentRef", default={})
    if not reference:
        return ""
    group = reference.get("group", "")
    resource = reference.get("resource", "") + (f".{group}" if group else "")
    return f"{resource}/{reference.get('namespace', '')}/{reference.get('name', '')}".replace("//", "/")


def row(obj: Object, now: datetime) -> list[Any]:
    """Three cells under two columns, as the API answers."""
    return [name(obj), parent_text(obj), age(obj, now)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IPAddress",
    plural="ipaddresses",
    schema="io.k8s.api.networking.v1.IPAddress",
    singular="ipaddress",
    metadata_checks="mu",
    namespaced=False,
    short_names=("ip",),
    validate=validate,
    validate_update=validate_update,
    validate_name=validate_name,
    columns=(NAME, Column("ParentRef")),
    row=row,
)
