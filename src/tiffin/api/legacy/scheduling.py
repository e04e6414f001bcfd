"""scheduling.k8s.io/v1alpha1 (from 1.8) and v1beta1 (from 1.11), both served until 1.21."""
from __future__ import annotations

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import each

_GROUP = "scheduling.k8s.io"
PACKAGES = tuple(Package(f"scheduling.{version}", _GROUP, version, "scheduling.v1", ("PriorityClass",)) for version in ("v1alpha1", "v1beta1"))
VERSIONS = tuple(retired for package in PACKAGES for retired in each(package, _GROUP, "1.14", "1.22", "priorityclasses"))
