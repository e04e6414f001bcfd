"""Role: what its holders may do in one namespace."""
from __future__ import annotations

from tiffin.api.kind import Context, Kind
from tiffin.api.printing import NAME_AND_CREATED, name_and_created
from tiffin.api.rbac.rules import rule_errors
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object
from tiffin.machinery.validation import path_segment_name


def default(obj: Object) -> None:
    obj.setdefault("rules", None)


def validate(obj: Object, context: Context) -> list[FieldError]:
    return rule_errors(obj.get("rules"), namespaced=True)


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    """Kubernetes looks at the rules of an update twice."""
    return validate(new, context) * 2


KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="Role",
    plural="roles",
    schema="io.k8s.api.rbac.v1.Role",
    singular="role",
    metadata_checks="mmu",
    create_on_update=True,
    default=default,
    validate=validate,
    validate_update=validate_update,
    validate_name=path_segment_name,
    columns=NAME_AND_CREATED,
    row=name_and_created,
)
