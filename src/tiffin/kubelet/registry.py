"""Names of images and the credentials for their registries: pure.

Source: the distribution reference grammar; Docker's config.json as secrets of type kubernetes.io/dockerconfigjson carry it.
"""
from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import orjson

from tiffin.machinery.object import Object, dig

DEFAULT_REGISTRY = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_reference = re.compile(
    rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>[\w][\w.-]{{0,127}}))?(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{{32,}}))?"
).fullmatch


class ImageNameError(ValueError):
    """Text that names no image."""


def with_tag(image: str) -> str:
    """The reference with `:latest` where it has neither tag nor digest. Raises ImageNameError."""
    match = _reference(image)
    if match is None:
        complaint = "repository name must be lowercase" if _reference(image.lower()) else "invalid reference format"
        raise ImageNameError(f'couldn\'t parse image name "{image}": {complaint}')
    return image if match["tag"] or match["digest"] else f"{image}:latest"


def registry_and_path(image: str) -> tuple[str, str]:
    """The registry that serves an image, and the repository's path there."""
    first, slash, rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return first, rest.split("@")[0].split(":")[0]
    return DEFAULT_REGISTRY, image.split("@")[0].split(":")[0]


def credentials(image: str, secrets: Iterable[Object]) -> list[Mapping[str, str]]:
    """User names and passwords worth trying for an image, most specific first."""
    registry, path = registry_and_path(image)
    found = []
    for secret in secrets:
        for address, entry in _entries(secret).items():
            if (depth := _match(address, registry, path)) >= 0 and (login := _login(entry)):
                found.append((depth, login))
    return [login for _, login in sorted(found, key=lambda item: -item[0])]


def _entries(secret: Object) -> Mapping[str, Any]:
    data = secret.get("data") or {}
    try:
        if text := data.get(".dockerconfigjson"):
            return dig(orjson.loads(base64.b64decode(text)), "auths", default={})
        if text := data.get(".dockercfg"):
            return orjson.loads(base64.b64decode(text))
    except (orjson.JSONDecodeError, binascii.Error):
        return {}
    return {}


def _match(address: str, registry: str, path: str) -> int:
    """How deep an address of a config.json agrees with an image; -1 when it does not."""
    host, _, prefix = address.removeprefix("https://").removeprefix("http://").partition("/")
    if host in ("index.docker.io", "registry-1.docker.io"):
        host = DEFAULT_REGISTRY
    if prefix in ("v1/", "v2/", "v1", "v2"):
        prefix = ""
    if not fnmatchcase(registry, host):
        return -1
    prefix = prefix.rstrip("/")
    if prefix and path != prefix and not path.startswith(prefix + "/"):
        return -1
    return len(prefix)


def _login(entry: Mapping[str, Any]) -> Mapping[str, str] | None:
    if entry.get("username"):
        return {"username": entry["username"], "password": entry.get("password", "")}
    if auth := entry.get("auth"):
        try:
            user, _, password = base64.b64decode(auth).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return {"username": user, "password": password}
    return {"identity_token": entry["identitytoken"]} if entry.get("identitytoken") else None
