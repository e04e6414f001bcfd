"""Values as Go shows them in messages: under the names of its struct fields, and what differs between two of them."""
from __future__ import annotations

import difflib
import json
from typing import Any


def go_names(value: Any) -> Any:
    """A value under the field names of Go, `localhostProfile` as `LocalhostProfile`."""
    if isinstance(value, dict):
        return {go_name(key): go_names(v) for key, v in value.items()}
    return [go_names(v) for v in value] if isinstance(value, list) else value


def go_name(key: str) -> str:
    """`fsGroup` as `FsGroup`; of Go's own spelling of abbreviations only what messages have shown."""
    return "SELinux" + key[7:] if key.startswith("seLinux") else key[:1].upper() + key[1:]


def difference(new: Any, old: Any) -> str:
    """The lines in which two specs differ, as JSON under Go's field names."""
    before, after = (json.dumps(go_names(value), indent=2, sort_keys=True).splitlines() for value in (old, new))
    return "\n".join(list(difflib.unified_diff(before, after, lineterm="", n=3))[2:])
