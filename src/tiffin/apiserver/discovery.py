"""What is served, told to clients: plain discovery per group and version, and aggregated discovery.

Source: API concepts, "Discovery API"; KEP-3352. Answers are made once per registry generation.
"""
from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import orjson

from tiffin.api.kind import Subresource
from tiffin.apiserver.aggregation.documents import aggregated_version
from tiffin.apiserver.negotiate import JSON, PROTOBUF, YAML, parse_accept
from tiffin.apiserver.registry import Registry, Served
from tiffin.machinery.object import Object

if TYPE_CHECKING:
    from tiffin.apiserver.aggregation.remote import Remote

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
SCALE = ("autoscaling", "v1", "Scale")


class Elsewhere(Protocol):
    """The group versions that other servers answer."""

    @property
    def remotes(self) -> Mapping[tuple[str, str], Remote]: ...

    @property
    def generation(self) -> int: ...

    def groups(self) -> dict[str, list[str]]:
        """Versions of every group, served here or elsewhere, in the order of discovery."""
        ...


def wants_aggregated(accept: str) -> bool | None:
    """Whether aggregated discovery is asked for first; None when only forms of it are asked for that are not served."""
    other = False
    for clause in parse_accept(accept):
        if clause.parameters.get("as") == "APIGroupDiscoveryList":
            if clause.media_type == JSON and clause.parameters.get("g") == "apidiscovery.k8s.io" and clause.parameters.get("v") == "v2":
                return True
            other = True
        elif clause.media_type in (JSON, YAML, PROTOBUF, "*/*"):
            return False
    return None if other else False


def _body_of(served: Served, sub: Subresource) -> tuple[str, str, str]:
    """Group, version and kind a subresource speaks."""
    return sub.body or (served.resource.group, served.resource.version, served.kind.kind)


def storage_version_hash(served: Served) -> str:
    """Eight bytes of a hash over the stored group, version and kind, in base64."""
    kind = served.kind
    text = f"{kind.group}/{kind.version}/{kind.kind}".encode()
    return base64.b64encode(hashlib.sha256(text).digest()[:8]).decode()


class Discovery:
    """The documents of one registry, and of what is served elsewhere."""

    def __init__(self, registry: Registry, elsewhere: Elsewhere) -> None:
        self.registry, self.elsewhere = registry, elsewhere
        self._cache: dict[object, tuple[tuple[int, int], bytes, str]] = {}

    @property
    def generation(self) -> tuple[int, int]:
        """Changes whenever a document may have changed."""
        return self.registry.generation, self.elsewhere.generation

    def groups(self) -> dict[str, list[str]]:
        """Versions of each group, the preferred first."""
        return self.elsewhere.groups()

    def _cached(self, key: object, make: object) -> tuple[bytes, str]:
        generation = self.generation
        found = self._cache.get(key)
        if found is None or found[0] != generation:
            data = orjson.dumps(make())  # type: ignore[operator]
            found = self._cache[key] = (generation, data, f'"{hashlib.sha512(data).hexdigest().upper()}"')
        return found[1], found[2]

    def aggregated(self, legacy: bool) -> tuple[bytes, str]:
        """The encoded APIGroupDiscoveryList of /api or /apis, and its ETag."""
        return self._cached(("aggregated", legacy), lambda: self._aggregated(legacy))

    def _aggregated(self, legacy: bool) -> Object:
        items = []
        for group, versions in self.groups().items():
            if (group == "") is legacy:
                entries = [self._aggregated_version(group, v) for v in versions]
                items.append({"metadata": {"name": group} if group else {}, "versions": entries})
        return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}

    def _aggregated_version(self, group: str, version: str) -> Object:
        remote = self.elsewhere.remotes.get((group, version))
        if remote is not None:
            return aggregated_version(remote)
        return {"version": version, "resources": self._aggregated_resources(group, version), "freshness": "Current"}

    def _aggregated_resources(self, group: str, version: str) -> list[Object]:
        return [self._aggregated_resource(s) for s in sorted(self.registry.of_version(group, version), key=lambda s: s.kind.plural)]

    def _aggregated_resource(self, served: Served) -> Object:
        kind = served.kind
        scope = "Namespaced" if kind.namespaced else "Cluster"
        resource: Object = {
            "resource": kind.plural, "responseKind": _gvk(("", "", kind.kind) if not served.custom else (served.resource.group, served.resource.version, kind.kind)),
            "scope": scope, "singularResource": kind.singular, "verbs": list(kind.verbs)}
        if kind.short_names:
            resource["shortNames"] = list(kind.short_names)
        if kind.categories:
            resource["categories"] = list(kind.categories)
        if kind.subresources:
            resource["subresources"] = [
                {"subresource": s.name, "responseKind": _gvk(self._response_kind(served, s)), "verbs": list(s.verbs)}
                for s in _subresources(served)]
        return resource

    @staticmethod
    def _response_kind(served: Served, sub: Subresource) -> tuple[str, str, str]:
        if sub.body and sub.body[:2] != (served.resource.group, served.resource.version):
            return sub.body
        if sub.body:
            return "", "", sub.body[2]
        return ("", "", served.kind.kind) if not served.custom else (served.resource.group, served.resource.version, served.kind.kind)

    # plain documents

    def versions(self, address: str) -> Object:
        """The answer of /api."""
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]}

    def group_list(self) -> Object:
        groups = [self.group(g, vs) for g, vs in self.groups().items() if g]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{k: v for k, v in g.items() if k not in ("kind", "apiVersion")} for g in groups]}

    @staticmethod
    def group(group: str, versions: list[str]) -> Object:
        listed = [{"groupVersion": f"{group}/{v}", "version": v} for v in versions]
        return {"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": listed, "preferredVersion": listed[0]}

    def resource_list(self, group: str, version: str) -> Object | None:
        """The APIResourceList of a group and version, None when it is not served."""
        found = self.registry.of_version(group, version)
        if not found:
            return None
        resources = []
        for served in sorted(found, key=lambda s: s.kind.plural):
            resources.append(_resource(served))
            resources += [_subresource(served, sub) for sub in _subresources(served)]
        document: Object = {"kind": "APIResourceList", "groupVersion": f"{group}/{version}" if group else version, "resources": resources}
        return document if not group else {"kind": "APIResourceList", "apiVersion": "v1", **{k: v for k, v in document.items() if k != "kind"}}


def _gvk(gvk: tuple[str, str, str]) -> Object:
    return {"group": gvk[0], "version": gvk[1], "kind": gvk[2]}


@lru_cache(maxsize=1024)
def _hash(served: Served) -> str:
    return storage_version_hash(served)


def _resource(served: Served) -> Object:
    kind = served.kind
    resource: Object = {"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": list(kind.verbs)}
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if kind.stored and "list" in kind.verbs and kind.plural != "componentstatuses":
        resource["storageVersionHash"] = _hash(served)
    return resource


def _subresources(served: Served) -> Sequence[Subresource]:
    """By name; those of custom resources in their own order."""
    return served.kind.subresources if served.custom else sorted(served.kind.subresources, key=lambda s: s.name)


def _subresource(served: Served, sub: Subresource) -> Object:
    group, version, kind = _body_of(served, sub)
    resource: Object = {"name": f"{served.kind.plural}/{sub.name}", "singularName": "", "namespaced": served.kind.namespaced}
    if (group, version) != (served.resource.group, served.resource.version):
        resource |= {"group": group, "version": version}
    return {**resource, "kind": kind, "verbs": list(sub.verbs)}
