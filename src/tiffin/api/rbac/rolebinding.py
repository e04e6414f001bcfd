"""RoleBinding."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="RoleBinding",
    plural="rolebindings",
    schema="io.k8s.api.rbac.v1.RoleBinding",
    singular="rolebinding",
    create_on_update=True,
)
