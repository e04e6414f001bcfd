"""Role."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="Role",
    plural="roles",
    schema="io.k8s.api.rbac.v1.Role",
    singular="role",
    create_on_update=True,
)
