"""DeviceClass: a sort of device that claims can ask for."""
from __future__ import annotations

from tiffin.api.core.resources import is_extended
from tiffin.api.kind import Context, Kind
from tiffin.api.resource.devices import configuration_errors, selector_errors
from tiffin.api.strategy import start_generation, updates_spec
from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Object


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = selector_errors(spec.get("selectors"), "spec.selectors")
    for index, configuration in enumerate(spec.get("config") or ()):
        errors += configuration_errors(configuration, f"spec.config[{index}]")
    extended = spec.get("extendedResourceName")
    if extended is not None and not is_extended(extended):
        errors.append(invalid("spec.extendedResourceName", extended, "must be a valid extended resource name"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="DeviceClass",
    plural="deviceclasses",
    schema="io.k8s.api.resource.v1.DeviceClass",
    singular="deviceclass",
    returns_deleted=True,
    namespaced=False,
    prepare_for_create=start_generation,
    prepare_for_update=updates_spec(status=False),
    validate=validate,
    validate_update=validate_update,
)
