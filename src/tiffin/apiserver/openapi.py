"""The OpenAPI documents: /openapi/v2 in one piece, /openapi/v3 one per group and version.

They are made when somebody asks, from the registry and the schema data, and not kept here: callers cache the bytes.
Source: Kubernetes' published OpenAPI documents; KEP-2896.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import partial

import orjson

from tiffin.apiserver.openapi_paths import Paths, Resource, discovery, for_version_2, tag, words
from tiffin.apiserver.openapi_schemas import Schemas
from tiffin.apiserver.registry import Served
from tiffin.machinery.schema import META

INFO = {"title": "Kubernetes", "version": "1.36"}
CUSTOM_INFO = {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}
BEARER = {"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"}
VERSION_INFO = "io.k8s.apimachinery.pkg.version.Info"


def openapi_v3(kinds: Iterable[Served], group: str, version: str) -> bytes:
    """The document of one group and version."""
    schemas, members = Schemas(3, [(group, version)]), list(kinds)
    if members and all(served.custom for served in members):
        return _custom_v3(members, schemas)
    paths = _group_version_paths(members, group, version, schemas)
    return orjson.dumps({
        "openapi": "3.0.0", "info": INFO, "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.made.items())), "securitySchemes": {"BearerToken": BEARER}}})


def _custom_v3(kinds: list[Served], schemas: Schemas) -> bytes:
    """The document of a group of custom resources: it has no discovery, and says nothing of security."""
    paths: Paths = {}
    for served in kinds:
        paths |= Resource(served, schemas).paths()
    return orjson.dumps({
        "openapi": "3.0.0", "info": CUSTOM_INFO, "paths": dict(sorted(paths.items())), "components": {"schemas": dict(sorted(schemas.made.items()))}})


def openapi_v3_index(kinds: Iterable[Served]) -> dict[str, str]:
    """The documents of version 3 (`api/v1`, `apis/apps/v1`, …) with a hash of what each is made from."""
    found: dict[str, list[str]] = {}
    for served in kinds:
        group, version, plural = served.resource
        made_from = (plural, served.kind.kind, served.kind.verbs, [s.name for s in served.kind.subresources],
                     served.form.family.stamp if served.form is not None else served.declared())
        found.setdefault(f"apis/{group}/{version}" if group else f"api/{version}", []).append(repr(made_from))
    return {path: hashlib.sha512("\n".join(sorted(parts)).encode()).hexdigest().upper() for path, parts in found.items()}


def openapi_v2(kinds: Iterable[Served]) -> bytes:
    """The one document of version 2, of everything."""
    schemas = Schemas(2)
    paths: Paths = {}
    kinds = list(kinds)
    groups: dict[tuple[str, str], list[Served]] = {}
    for served in kinds:
        groups.setdefault((served.resource.group, served.resource.version), []).append(served)
    for (group, version), members in groups.items():
        paths |= _group_version_paths(members, group, version, schemas)
    for make in _general(kinds).values():
        paths |= make(schemas)
    return orjson.dumps({
        "swagger": "2.0", "info": INFO, "paths": for_version_2(dict(sorted(paths.items()))), "definitions": dict(sorted(schemas.made.items())),
        "securityDefinitions": {"BearerToken": BEARER}, "security": [{"BearerToken": []}]})


def _group_version_paths(kinds: list[Served], group: str, version: str, schemas: Schemas) -> Paths:
    base = f"/apis/{group}/{version}/" if group else f"/api/{version}/"
    name = f"get{words(group)}{version[:1].upper()}{version[1:]}APIResources"
    paths: Paths = {}
    if not all(served.custom for served in kinds):
        paths = discovery(base, name, tag(group, version), schemas.reference(META + "APIResourceList"))
    for served in kinds:
        paths |= Resource(served, schemas).paths()
    return paths


def general_v3(kinds: Iterable[Served], key: str) -> bytes | None:
    """A document of version 3 about no group and version: of what lists groups and versions (`api`, `apis/apps`), of the server's version
    and its issuer of tokens. None where there is none."""
    make = _general(kinds).get(key)
    if make is None:
        return None
    schemas = Schemas(3)
    paths = make(schemas)
    components = {"schemas": dict(sorted(schemas.made.items()))} if schemas.made else {}
    return orjson.dumps({
        "openapi": "3.0.0", "info": INFO, "paths": paths, "components": components | {"securitySchemes": {"BearerToken": BEARER}}})


def general_v3_keys(kinds: Iterable[Served]) -> list[str]:
    """The documents `general_v3` has."""
    return list(_general(kinds))


def _general(kinds: Iterable[Served]) -> dict[str, Callable[[Schemas], Paths]]:
    """By the name of the document, what makes its only path. Groups of custom resources have none."""
    text = {"type": "string"}
    found: dict[str, Callable[[Schemas], Paths]] = {
        ".well-known/openid-configuration": lambda schemas: discovery(
            "/.well-known/openid-configuration/", "getServiceAccountIssuerOpenIDConfiguration", "WellKnown", text, ("application/json",)),
        "openid/v1/jwks": lambda schemas: discovery(
            "/openid/v1/jwks/", "getServiceAccountIssuerOpenIDKeyset", "openid", text, ("application/jwk-set+json",)),
        "version": lambda schemas: discovery("/version/", "getCodeVersion", "version", schemas.reference(VERSION_INFO), ("application/json",)),
        "api": lambda schemas: discovery("/api/", "getCoreAPIVersions", "core", schemas.reference(META + "APIVersions")),
        "apis": lambda schemas: discovery("/apis/", "getAPIVersions", "apis", schemas.reference(META + "APIGroupList")),
    }
    for group in sorted({served.resource.group for served in kinds if not served.custom} - {""}):
        found[f"apis/{group}"] = partial(_group_path, group)
    return found


def _group_path(group: str, schemas: Schemas) -> Paths:
    name = words(group)
    return discovery(f"/apis/{group}/", f"get{name}APIGroup", f"{name[:1].lower()}{name[1:]}", schemas.reference(META + "APIGroup"))
