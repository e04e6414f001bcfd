"""coordination.k8s.io/v1beta1, served from 1.14 to 1.21."""
from __future__ import annotations

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import each

_V1BETA1 = Package("coordination.v1beta1", "coordination.k8s.io", "v1beta1", "coordination.v1", ("Lease",))
PACKAGES = (_V1BETA1,)
VERSIONS = each(_V1BETA1, "coordination.k8s.io", "1.19", "1.22", "leases")
