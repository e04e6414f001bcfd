"""authentication.k8s.io/v1beta1, served from 1.4 to 1.21."""
from __future__ import annotations

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import each

_V1BETA1 = Package("authentication.v1beta1", "authentication.k8s.io", "v1beta1", "authentication.v1", ("TokenReview",))
PACKAGES = (_V1BETA1,)
VERSIONS = each(_V1BETA1, "authentication.k8s.io", "1.19", "1.22", "tokenreviews")
