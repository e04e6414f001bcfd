"""Secret."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    schema="io.k8s.api.core.v1.Secret",
    singular="secret",
)
