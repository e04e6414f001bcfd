"""DeviceClass: a sort of device that claims can ask for."""
from __future__ import annotations

from typing import Any

from tiffin.api.core.resources import is_extended
from tiffin.api.kind import Context, Kind
from tiffin.api.resource.identifiers import each
from tiffin.api.resource.requests import MAX_CONFIGURATIONS, configuration_errors
from tiffin.api.resource.selectors import selector_errors
from tiffin.api.strategy import start_generation, updates_spec
from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Object


def validate(obj: Object, context: Context) -> list[FieldError]:
    return _spec_errors(obj.get("spec") or {}, None)


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return _spec_errors(new.get("spec") or {}, old.get("spec") or {})


def _spec_errors(spec: dict[str, Any], before: dict[str, Any] | None) -> list[FieldError]:
    def stored(field: str) -> bool:
        return before is not None and (spec.get(field) or []) == (before.get(field) or [])

    errors = selector_errors(spec.get("selectors"), "spec.selectors", stored=stored("selectors"))
    known = stored("config")
    errors += each(spec.get("config"), MAX_CONFIGURATIONS, lambda c, at: configuration_errors(c, at, stored=known), "spec.config")
    extended = spec.get("extendedResourceName")
    if extended is not None and not is_extended(extended):
        errors.append(invalid("spec.extendedResourceName", extended, "must be a valid extended resource name"))
    return errors


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="DeviceClass",
    plural="deviceclasses",
    schema="io.k8s.api.resource.v1.DeviceClass",
    singular="deviceclass",
    metadata_checks="mu",
    returns_deleted=True,
    namespaced=False,
    prepare_for_create=start_generation,
    prepare_for_update=updates_spec(status=False),
    validate=validate,
    validate_update=validate_update,
)
