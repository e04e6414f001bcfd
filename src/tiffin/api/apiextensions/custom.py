"""The Kind that a CustomResourceDefinition describes.

A CRD becomes the same `Kind` that built-in files declare; the server treats both alike. Source: KEP-95, CRD v1 reference.
"""
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tiffin.api.kind import Column, Context, Kind, Subresource, Version
from tiffin.machinery.object import Object, dig
from tiffin.machinery.schema import Type
from tiffin.machinery.structural import custom_type
from tiffin.machinery.table import age, name


def kind_of(crd: Object) -> tuple[Kind, dict[str, Type], bool] | None:
    """The Kind, the types of its versions and whether the stored version is served; None while no version is served."""
    spec = crd["spec"]
    versions: list[dict[str, Any]] = spec.get("versions") or []
    stored = next((v for v in versions if v.get("storage")), None)
    if stored is None or not any(v.get("served") for v in versions):
        return None
    types: dict[str, Type] = {v["name"]: custom_type(dig(v, "schema", "openAPIV3Schema"), f"{spec['group']}.{v['name']}.{spec['names']['kind']}") for v in versions}
    return _kind(spec, stored, versions), types, bool(stored.get("served"))


def _kind(spec: dict[str, Any], stored: dict[str, Any], versions: list[dict[str, Any]]) -> Kind:
    names, group = spec["names"], spec["group"]
    columns, row = _table(stored)
    status = "status" in (stored.get("subresources") or {})
    others = tuple(_version(group, v, stored["name"]) for v in versions if v.get("served") and v is not stored)
    return Kind(
        group=group, version=stored["name"], kind=names["kind"], plural=names["plural"], schema="",
        singular=names.get("singular") or names["kind"].lower(), namespaced=spec.get("scope") == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()), categories=tuple(names.get("categories") or ()),
        verbs=("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"),
        versions=others, subresources=_subresources(stored), unconditional_update=False,
        prepare_for_create=_create(status), prepare_for_update=_update(status), columns=columns, row=row,
        field_selectors=_selectable(stored))


def _version(group: str, version: dict[str, Any], stored: str) -> Version:
    """Conversion strategy None: only apiVersion differs."""

    def convert(to: str) -> Callable[[Object], Object]:
        return lambda obj: {**obj, "apiVersion": f"{group}/{to}"}

    columns, _ = _table(version)
    return Version(group, version["name"], "", convert(version["name"]), convert(stored), columns, _selectable(version))


def _selectable(version: dict[str, Any]) -> dict[str, Callable[[Object], str]]:
    """The fields that `selectableFields` names, as text."""

    def reader(path: str) -> Callable[[Object], str]:
        parts = [part for part in path.split(".") if part]
        return lambda obj: _text(dig(obj, *parts))

    return {f["jsonPath"].lstrip("."): reader(f["jsonPath"]) for f in version.get("selectableFields") or ()}


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _subresources(version: dict[str, Any]) -> tuple[Subresource, ...]:
    declared = version.get("subresources") or {}
    found = []
    if "status" in declared:
        found.append(Subresource("status", updates_object=True, prepare=_status_update))
    if "scale" in declared:
        found.append(Subresource("scale", body=("autoscaling", "v1", "Scale")))
    return tuple(found)


def _create(status: bool) -> Callable[[Object, Context], None]:
    def prepare(obj: Object, context: Context) -> None:
        if status:
            obj.pop("status", None)
        obj["metadata"]["generation"] = 1

    return prepare


def _content(obj: Object, status: bool) -> dict[str, Any]:
    return {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata") and not (status and k == "status")}


def _update(status: bool) -> Callable[[Object, Object, Context], None]:
    def prepare(new: Object, old: Object, context: Context) -> None:
        if status:
            if "status" in old:
                new["status"] = old["status"]
            else:
                new.pop("status", None)
        if _content(new, status) != _content(old, status):
            new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1

    return prepare


def _status_update(new: Object, old: Object, context: Context) -> None:
    """Through /status only the status changes, and of the metadata nothing but managed fields."""
    for key in [k for k in new if k not in ("apiVersion", "kind", "metadata", "status")]:
        del new[key]
    new.update({k: v for k, v in old.items() if k not in ("apiVersion", "kind", "metadata", "status")})
    managed = new["metadata"].get("managedFields")
    revision = new["metadata"].get("resourceVersion")
    new["metadata"] = {**old["metadata"], **({"managedFields": managed} if managed else {})}
    new["metadata"]["resourceVersion"] = revision


def _table(version: dict[str, Any]) -> tuple[tuple[Column, ...], Callable[[Object, datetime], list[Any]]]:
    declared = version.get("additionalPrinterColumns") or []
    columns = [Column("Name", format="name", description="Name must be unique within a namespace.")]
    columns += [Column(c["name"], c["type"], c.get("format", ""), c.get("priority", 0), c.get("description", "")) for c in declared]
    paths = [(c["jsonPath"], c["type"]) for c in declared]
    if not declared:
        columns.append(Column("Age", "date"))
        paths = [(".metadata.creationTimestamp", "date")]

    def row(obj: Object, now: datetime) -> list[Any]:
        return [name(obj), *(_cell(obj, path, type, now) for path, type in paths)]

    return tuple(columns), row


def _cell(obj: Object, path: str, type: str, now: datetime) -> Any:
    if path == ".metadata.creationTimestamp":
        return age(obj, now)
    return dig(obj, *[part for part in path.split(".") if part])
