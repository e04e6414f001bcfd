"""Durations as Kubernetes' tools write them: `60s`, `1m30s`, `500ms`, `0`."""
from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds. Raises `ValueError` when it is no duration."""
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration: write 60s, 1m30s or 0")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
