"""RoleBinding: who holds a Role of the namespace, or a ClusterRole within it."""
from __future__ import annotations

from tiffin.api.kind import Context, Kind
from tiffin.api.rbac.rules import BINDING_COLUMNS, binding_errors, binding_row, default_binding, role_change_errors
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object
from tiffin.machinery.validation import path_segment_name


def validate(obj: Object, context: Context) -> list[FieldError]:
    return binding_errors(obj, namespaced=True)


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    """Kubernetes looks at the subjects of an update twice."""
    return validate(new, context) * 2 + role_change_errors(new, old)


KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="RoleBinding",
    plural="rolebindings",
    schema="io.k8s.api.rbac.v1.RoleBinding",
    singular="rolebinding",
    metadata_checks="mmu",
    create_on_update=True,
    default=default_binding,
    validate=validate,
    validate_update=validate_update,
    validate_name=path_segment_name,
    columns=BINDING_COLUMNS,
    row=binding_row,
)
