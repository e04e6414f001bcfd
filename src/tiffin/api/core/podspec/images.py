"""Image references as far as the API cares: which tag does an image have?

Source: the reference grammar of the distribution project, `[domain/]path[:tag][@digest]`.
"""
from __future__ import annotations

import re
from functools import lru_cache

_DOMAIN_PART = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_reference = re.compile(
    rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>[\w][\w.-]{{0,127}}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?"
).fullmatch
_identifier = re.compile("[a-f0-9]{64}").fullmatch


@lru_cache(maxsize=1024)
def tag_of(image: str) -> str:
    """The tag of an image, `latest` where neither tag nor digest is given, empty where the text is no reference."""
    match = _reference(image) if len(image) < 4096 and not _identifier(image) else None
    if match is None:
        return ""
    return match["tag"] or ("" if match["digest"] else "latest")


def default_pull_policy(image: str) -> str:
    """Always for images that move (`latest`), IfNotPresent for all others."""
    return "Always" if tag_of(image) == "latest" else "IfNotPresent"
