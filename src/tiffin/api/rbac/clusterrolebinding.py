"""ClusterRoleBinding."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRoleBinding",
    plural="clusterrolebindings",
    schema="io.k8s.api.rbac.v1.ClusterRoleBinding",
    singular="clusterrolebinding",
    namespaced=False,
    create_on_update=True,
)
