"""Words that volumes and claims share."""
from __future__ import annotations

from collections.abc import Iterable

_ABBREVIATIONS = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
ACCESS_MODES = tuple(sorted(_ABBREVIATIONS))
VOLUME_MODES = ("Block", "Filesystem")


def access_modes_text(modes: Iterable[str] | None) -> str:
    """`RWO,ROX`: each mode once, always in the same order."""
    given = set(modes or ())
    return ",".join(short for mode, short in _ABBREVIATIONS.items() if mode in given)
