"""What aggregated servers say of themselves, brought into this server's discovery and OpenAPI documents. Pure."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from tiffin.apiserver.aggregation.remote import Remote
from tiffin.machinery.object import Object


def aggregated_version(remote: Remote) -> Object:
    """The entry of aggregated discovery, made from the plain list of resources; stale while the server cannot be asked."""
    freshness = "Current" if remote.available else "Stale"
    return {"version": remote.version, "resources": _resources(remote), "freshness": freshness}


def _resources(remote: Remote) -> list[Object]:
    found: dict[str, Object] = {}
    for listed in sorted(remote.resources, key=lambda r: str(r["name"])):
        plural, _, sub = str(listed["name"]).partition("/")
        kind = {
            "group": listed.get("group") or remote.group, "version": listed.get("version") or remote.version, "kind": listed.get("kind", "")}
        if sub:
            parent = found.setdefault(plural, {"resource": plural, "scope": _scope(listed), "singularResource": "", "verbs": []})
            parent.setdefault("subresources", []).append({"subresource": sub, "responseKind": kind, "verbs": listed.get("verbs") or []})
            continue
        entry: Object = {"resource": plural, "responseKind": kind, "scope": _scope(listed), "singularResource": listed.get("singularName", "")}
        entry["verbs"] = listed.get("verbs") or []
        entry |= {field: listed[field] for field in ("shortNames", "categories") if listed.get(field)}
        found[plural] = entry | {k: v for k, v in found.get(plural, {}).items() if k == "subresources"}
    return list(found.values())


def _scope(listed: Any) -> str:
    return "Namespaced" if listed.get("namespaced") else "Cluster"


def merged_openapi_v2(own: bytes, remotes: Iterable[Remote]) -> bytes:
    """The document of version 2 with the paths of aggregated group versions and the definitions they use."""
    documents = [(remote, remote.openapi_v2) for remote in remotes if remote.openapi_v2]
    if not documents:
        return own
    merged: dict[str, Any] = orjson.loads(own)
    for remote, document in documents:
        paths = {p: v for p, v in (document.get("paths") or {}).items() if p.rstrip("/") == remote.prefix or p.startswith(f"{remote.prefix}/")}
        definitions = document.get("definitions") or {}
        clashing = {name for name, value in definitions.items() if name in merged["definitions"] and merged["definitions"][name] != value}
        if clashing:
            paths, definitions = _renamed(paths, definitions, clashing, set(merged["definitions"]))
        merged["paths"] |= paths
        merged["definitions"] = {**definitions, **merged["definitions"]}
    merged["paths"] = dict(sorted(merged["paths"].items()))
    merged["definitions"] = dict(sorted(merged["definitions"].items()))
    return orjson.dumps(merged)


def _renamed(paths: Any, definitions: Any, clashing: set[str], taken: set[str]) -> tuple[Any, Any]:
    """The same with other names for definitions that mean something else here."""
    names = {}
    for name in clashing:
        number = 2
        while f"{name}_v{number}" in taken or f"{name}_v{number}" in definitions:
            number += 1
        names[name] = f"{name}_v{number}"
    references = {f"#/definitions/{old}": f"#/definitions/{new}" for old, new in names.items()}

    def mended(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: references.get(v, v) if k == "$ref" and isinstance(v, str) else mended(v) for k, v in value.items()}
        return [mended(each) for each in value] if isinstance(value, list) else value

    return mended(paths), {names.get(name, name): mended(value) for name, value in definitions.items()}
