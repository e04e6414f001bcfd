"""The order of version names: v2 before v1, stable before beta before alpha, everything else last by name (kube-aware order)."""
from __future__ import annotations

import re

_version = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?").fullmatch


def version_rank(version: str) -> tuple[int, int, int, str]:
    """What sorts the names of versions by priority, the best first."""
    match = _version(version)
    if not match:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), "")
