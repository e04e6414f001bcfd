"""The Kinds that a CustomResourceDefinition describes: one per version, as each has a schema, columns and subresources of its own.

All versions share one storage and are otherwise ordinary Kinds; the server treats them as those of built-in files. The functions
of a version's Kind take objects of that version. Source: KEP-95, CRD v1 reference.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tiffin.api.apiextensions.columns import table
from tiffin.api.apiextensions.scalepaths import ScalePaths
from tiffin.api.kind import Context, Kind, Subresource
from tiffin.machinery.field import FieldError, invalid, quoted
from tiffin.machinery.object import Object, dig
from tiffin.machinery.structural.decoding import Structure
from tiffin.machinery.versions import version_rank

VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
NOT_ALL_CHECKED = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")
_UNQUALIFIED = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
_BLOCKING = ("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")


class CustomVersion(NamedTuple):
    """One version of a custom resource: its Kind, the rules of its schema, and what it is used for."""

    kind: Kind
    structure: Structure
    served: bool
    stored: bool


Load = Callable[[str], dict[str, Any] | None]
"""Gives the schema of a version by its name."""


def schema_of(crd: Object, version: str) -> dict[str, Any] | None:
    """The schema a definition declares for a version, made to keep what it does not name where the definition says so."""
    found: dict[str, Any] | None = next((dig(v, "schema", "openAPIV3Schema") for v in dig(crd, "spec", "versions", default=[]) if v["name"] == version), None)
    return unpruned(found) if found and dig(crd, "spec", "preserveUnknownFields") else found


def unpruned(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of the days before pruning: it only validates. What it leaves open may be anything, and every object keeps all its fields."""
    made = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = unpruned(made[key])
    if "properties" in made:
        made["properties"] = {name: unpruned(sub) for name, sub in (made["properties"] or {}).items()}
        made.setdefault("type", "object")
    if made.get("type", "object") == "object" and not made.get("additionalProperties") and not made.get("x-kubernetes-int-or-string"):
        made["x-kubernetes-preserve-unknown-fields"] = True
    return made


def versions_of(crd: Object, load: Load) -> list[CustomVersion]:
    """The versions of a definition, in its order; what is not served is still needed to read what was stored in it.

    Their schemas are not taken from `crd` but loaded when they are needed: they may be large.
    """
    spec = crd["spec"]
    return [_version(spec, version, load) for version in spec.get("versions") or ()]


def _version(spec: dict[str, Any], version: dict[str, Any], load: Load) -> CustomVersion:
    called = version["name"]
    structure = Structure(lambda: load(called), f"{spec['group']}.{called}.{spec['names']['kind']}")
    names, declared = spec["names"], version.get("subresources") or {}
    rules = _Rules(structure, ScalePaths.of(declared), "status" in declared)
    columns, row = table(version.get("additionalPrinterColumns") or [])
    kind = Kind(
        group=spec["group"], version=version["name"], kind=names["kind"], plural=names["plural"], schema="",
        singular=names.get("singular") or names["kind"].lower(), namespaced=spec.get("scope") == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()), categories=tuple(names.get("categories") or ()), verbs=VERBS,
        subresources=_subresources(declared, rules), unconditional_update=False, deprecation=_deprecation(spec, version),
        default=structure.default, prepare_for_create=rules.prepare_for_create, prepare_for_update=rules.prepare_for_update,
        validate=rules.validate, validate_update=rules.validate_update, columns=columns, row=row, warnings=_warnings, any_finalizers=True, field_selectors=_selectable(version))
    return CustomVersion(kind, structure, bool(version.get("served")), bool(version.get("storage")))


def _warnings(new: Object, old: Object | None) -> list[str]:
    """Of finalizers that are added and might be anybody's."""
    before = dig(old or {}, "metadata", "finalizers", default=[])
    odd = sorted({name for name in dig(new, "metadata", "finalizers", default=[]) if "/" not in name and name not in (*_FINALIZERS, *before)})
    return [f"metadata.finalizers: {quoted(name)}: {_UNQUALIFIED}" for name in odd]


def _deprecation(spec: dict[str, Any], version: dict[str, Any]) -> str:
    """What every request for a deprecated version is warned of: its own words, or the best other version by priority."""
    if not version.get("deprecated"):
        return ""
    if (own := version.get("deprecationWarning")) is not None:
        return str(own)
    group, kind = spec["group"], spec["names"]["kind"]
    others = [v["name"] for v in spec["versions"] if v.get("served") and not v.get("deprecated")]
    better = [name for name in others if version_rank(name) < version_rank(version["name"])]
    told = f"{group}/{version['name']} {kind} is deprecated"
    return f"{told}; use {group}/{min(better, key=version_rank)} {kind}" if better else told


def _selectable(version: dict[str, Any]) -> dict[str, Callable[[Object], str]]:
    """The fields that `selectableFields` names, as text."""

    def reader(path: str) -> Callable[[Object], str]:
        parts = [part for part in path.split(".") if part]
        return lambda obj: _text(dig(obj, *parts))

    return {f["jsonPath"].lstrip("."): reader(f["jsonPath"]) for f in version.get("selectableFields") or ()}


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _subresources(declared: dict[str, Any], rules: _Rules) -> tuple[Subresource, ...]:
    found = []
    if "status" in declared:
        found.append(Subresource("status", updates_object=True, prepare=_prepare_status, validate=rules.validate_status))
    if "scale" in declared:
        paths = rules.scale
        assert paths is not None
        found.append(Subresource(
            "scale", body=("autoscaling", "v1", "Scale"), shown=paths.scale_of, taken=paths.apply, replicas=paths.replicas))
    return tuple(found)


def _prepare_status(new: Object, old: Object, context: Context) -> None:
    """Through /status only the status changes, and of the metadata nothing but managed fields."""
    for key in [k for k in new if k not in ("apiVersion", "kind", "metadata", "status")]:
        del new[key]
    new.update({k: v for k, v in old.items() if k not in ("apiVersion", "kind", "metadata", "status")})
    managed = new["metadata"].get("managedFields")
    revision = new["metadata"].get("resourceVersion")
    new["metadata"] = {**old["metadata"], **({"managedFields": managed} if managed else {})}
    new["metadata"]["resourceVersion"] = revision


class _Rules:
    """What a version's Kind does when its objects are written."""

    def __init__(self, structure: Structure, scale: ScalePaths | None, status: bool) -> None:
        self.structure, self.scale, self.status = structure, scale, status

    def prepare_for_create(self, obj: Object, context: Context) -> None:
        if self.status:
            obj.pop("status", None)
            self.structure.default(obj)  # what is not for clients to say may still have a default
        obj["metadata"]["generation"] = 1

    def prepare_for_update(self, new: Object, old: Object, context: Context) -> None:
        if self.status:
            if "status" in old:
                new["status"] = old["status"]
            else:
                new.pop("status", None)
        if self._content(new) != self._content(old):
            new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1

    def _content(self, obj: Object) -> dict[str, Any]:
        return {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata") and not (self.status and k == "status")}

    def validate(self, obj: Object, context: Context) -> list[FieldError]:
        errors = self.structure.violations(obj)
        if self.scale is not None:
            errors += self.scale.spec_violations(obj) + self.scale.status_violations(obj)
        errors += self.structure.embedded_violations(obj) + self.structure.repeated(obj)
        return errors + self._rule_violations(obj, None, errors, context)

    def validate_update(self, new: Object, old: Object, context: Context) -> list[FieldError]:
        errors = self.structure.update_violations(new, old)
        if self.scale is not None:
            errors += self.scale.spec_violations(new) + self.scale.status_violations(new)
        errors += self.structure.embedded_violations(new)
        return self._finish_update(new, old, errors, context)

    def validate_status(self, new: Object, old: Object, context: Context) -> list[FieldError]:
        """Only the status is looked at, and not at resources inside it; rules may speak of all."""
        errors = self.structure.status_violations(new, old)
        if self.scale is not None:
            errors += self.scale.status_violations(new)
        return self._finish_update(new, old, errors, context)

    def _finish_update(self, new: Object, old: Object, errors: list[FieldError], context: Context) -> list[FieldError]:
        repeated = self.structure.repeated(new)
        if repeated and not self.structure.repeated(old):
            errors += repeated
        return errors + self._rule_violations(new, old, errors, context)

    def _rule_violations(self, new: Object, old: Object | None, errors: list[FieldError], context: Context) -> list[FieldError]:
        """What the CEL rules of the schema say; they are not asked about an object whose form is wrong. Of unchanged values they warn."""
        if not self.structure.has_rules:
            return []
        if any(error.reason in _BLOCKING for error in errors):
            return [invalid("<nil>", None, NOT_ALL_CHECKED)]
        passed: list[FieldError] = []
        found = self.structure.rule_violations(new, old, passed)
        context.warnings.extend(map(str, passed))
        return found


