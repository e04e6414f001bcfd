"""CSIStorageCapacity: how much storage a class has left in a part of the cluster. Class and part are fixed."""
from __future__ import annotations

from tiffin.api.checks import named
from tiffin.api.core.podspec.nodelabels import selector_warnings
from tiffin.api.kind import Context, Kind
from tiffin.api.printing import NAME_AND_CREATED, name_and_created
from tiffin.machinery import names, quantity
from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Object
from tiffin.machinery.selectors import validate_label_selector


def validate(obj: Object, context: Context) -> list[FieldError]:
    errors = validate_label_selector(obj.get("nodeTopology"), "nodeTopology")
    errors += named(obj.get("storageClassName"), "storageClassName", names.is_dns1123_subdomain)
    if obj.get("capacity") is not None and quantity.sign(obj["capacity"]) < 0:
        errors.append(invalid("capacity", obj["capacity"], "must be greater than or equal to 0"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context) + [
        invalid(field, new.get(field), "field is immutable")
        for field in ("nodeTopology", "storageClassName") if new.get(field) != old.get(field)
    ]


def warnings(new: Object, old: Object | None) -> list[str]:
    return selector_warnings(new.get("nodeTopology"), "nodeTopology")


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIStorageCapacity",
    plural="csistoragecapacities",
    schema="io.k8s.api.storage.v1.CSIStorageCapacity",
    singular="csistoragecapacity",
    metadata_checks="mu",
    unconditional_update=False,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=NAME_AND_CREATED,
    row=name_and_created,
)
