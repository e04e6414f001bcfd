"""apiregistration.k8s.io/v1beta1, served from 1.7 to 1.21."""
from __future__ import annotations

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import each

_ROOT = "io.k8s.kube-aggregator.pkg.apis.apiregistration"
_V1BETA1 = Package(f"{_ROOT}.v1beta1", "apiregistration.k8s.io", "v1beta1", f"{_ROOT}.v1", ("APIService",))
PACKAGES = (_V1BETA1,)
VERSIONS = each(_V1BETA1, "apiregistration.k8s.io", "1.19", "1.22", "apiservices")
