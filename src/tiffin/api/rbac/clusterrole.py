"""ClusterRole."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRole",
    plural="clusterroles",
    schema="io.k8s.api.rbac.v1.ClusterRole",
    singular="clusterrole",
    namespaced=False,
    create_on_update=True,
)
