"""node.k8s.io/v1beta1, served from 1.14 to 1.24."""
from __future__ import annotations

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import each

_V1BETA1 = Package("node.v1beta1", "node.k8s.io", "v1beta1", "node.v1", ("RuntimeClass",))
PACKAGES = (_V1BETA1,)
VERSIONS = each(_V1BETA1, "node.k8s.io", "1.22", "1.25", "runtimeclasses")
