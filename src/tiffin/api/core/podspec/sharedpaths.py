"""Files of one volume that would lie on or below one another: warned about, because the later one hides the earlier."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tiffin.machinery.field import quoted

_KINDS = (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI"))


def overlap_warnings(volume: dict[str, Any]) -> Iterator[str]:
    """Warnings about the files of a config map, secret, downward API or projected volume."""
    name = volume.get("name") or ""
    for kind, shown in _KINDS:
        source = volume.get(kind)
        if source is not None and source.get("items"):
            owner = source.get("secretName" if kind == "secret" else "name") or ""
            what = shown if kind == "downwardAPI" else f"{shown} {quoted(owner)}"
            yield from _overlaps(_paths(source), f"volume {quoted(name)} ({what}): overlapping paths")
    if volume.get("projected") is not None:
        yield from _of_projected(volume["projected"], name)


def _of_projected(projected: dict[str, Any], name: str) -> Iterator[str]:
    taken: set[str] = set()
    for source in projected.get("sources") or ():
        if not source:
            yield f"volume {quoted(name)} (Projected) has no sources provided"
            continue
        paths, what = _projection(source)
        if not paths:
            continue
        words = f"volume {quoted(name)} (Projected {what}): overlapping paths"
        yield from _overlaps(paths, words)
        yield from _overlaps(sorted([*set(paths), *taken]), words)
        taken.update(paths)


def _projection(source: dict[str, Any]) -> tuple[list[str], str]:
    """The files that one projection writes, and its name in words."""
    for kind, shown in _KINDS:
        given = source.get(kind) or {}
        if given.get("items"):
            return _paths(given), shown if kind == "downwardAPI" else f"{shown} {quoted(given.get('name') or '')}"
    token = source.get("serviceAccountToken")
    return ([token.get("path") or ""], "ServiceAccountToken") if token is not None else ([], "")


def _paths(source: dict[str, Any]) -> list[str]:
    return [item.get("path") or "" for item in source["items"]]


def _overlaps(paths: Iterable[str], words: str) -> Iterator[str]:
    seen: list[str] = []
    for path in (path.rstrip("/") for path in paths):
        other = next((known for known in seen if known and path and (f"{known}/".startswith(f"{path}/") or f"{path}/".startswith(f"{known}/"))), None)
        if other is not None:
            yield f"{words}: {quoted(path)} with {quoted(other)}"
        if path not in seen:
            seen.append(path)
