"""IPAddress."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IPAddress",
    plural="ipaddresses",
    schema="io.k8s.api.networking.v1.IPAddress",
    singular="ipaddress",
    namespaced=False,
    short_names=("ip",),
)
