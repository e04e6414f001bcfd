"""Requests for paths that are no resources: health, version, metrics, discovery, OpenAPI, token issuer discovery."""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import orjson
from prometheus_client.registry import Collector

from tiffin.apiserver import health, metrics
from tiffin.apiserver.aggregation.documents import merged_openapi_v2
from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.discovery import AGGREGATED, Discovery, Elsewhere, wants_aggregated
from tiffin.apiserver.health import PAGE_NOT_FOUND, text
from tiffin.apiserver.negotiate import LISTED, Form, negotiate
from tiffin.apiserver.registry import Registry
from tiffin.apiserver.render import respond
from tiffin.machinery import errors
from tiffin.machinery.object import Object
from tiffin.net.http import Request, Response

JWKS_TYPE = "application/jwk-set+json"


class Issuer:
    """The two documents of OIDC discovery; made from the service-account key."""

    def __init__(self, configuration: Callable[[], Object], keys: Callable[[], Object]) -> None:
        self.configuration, self.keys = configuration, keys


class Paths:
    """Answers everything that is not a resource."""

    def __init__(self, registry: Registry, elsewhere: Elsewhere, address: str, issuer: Issuer, ready: Callable[[], bool]) -> None:
        self.registry, self.address, self.issuer, self.ready = registry, address, issuer, ready
        self.discovery = Discovery(registry, elsewhere)
        self.collectors: list[Collector] = []
        """What counts beside the requests themselves."""
        self._documents: dict[str, tuple[tuple[int, int], bytes, str]] = {}

    async def handle(self, context: RequestContext, request: Request) -> Response:
        path = context.info.path
        if path.startswith(("/healthz", "/livez", "/readyz")) and path.lstrip("/").partition("/")[0] in ("healthz", "livez", "readyz"):
            return health.health(path, "verbose" in context.query.values, context.query.values.get("exclude", []), self.ready)
        if path.startswith(("/api", "/apis")) and path.split("/")[1] in ("api", "apis"):
            return self._discovery(context, request)
        return self._plain(context, request, path)

    def _plain(self, context: RequestContext, request: Request, path: str) -> Response:
        stripped = path.rstrip("/")
        if stripped in ("/version", "/metrics", "/openapi/v2", "/openapi/v3") and request.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        if stripped == "/version":
            return respond(health.version())
        if path == "/metrics":
            return Response(200, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}, metrics.exposition(*self.collectors))
        if path == "/":
            return respond({"paths": sorted([*health.ROOT_PATHS, *self._group_paths()])})
        if path == "/.well-known/openid-configuration":
            return respond(self.issuer.configuration())
        if path == "/openid/v1/jwks":
            return self._jwks(context)
        if path.startswith("/openapi/"):
            return self._openapi(context, path)
        if stripped.startswith("/version"):
            raise errors.path_not_found()
        return text(PAGE_NOT_FOUND, 404)

    def _group_paths(self) -> list[str]:
        paths = []
        for group, versions in self.discovery.groups().items():
            if group:
                paths += [f"/apis/{group}", *(f"/apis/{group}/{v}" for v in versions)]
        return paths

    def _jwks(self, context: RequestContext) -> Response:
        accept = context.headers.get("accept", "*/*")
        if not any(t in accept for t in (JWKS_TYPE, "*/*", "application/*")):
            raise errors.ApiError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {JWKS_TYPE}", {})
        return Response(200, {"Content-Type": JWKS_TYPE, "Cache-Control": "public, max-age=3600"}, orjson.dumps(self.issuer.keys()))

    # discovery

    def _discovery(self, context: RequestContext, request: Request) -> Response:
        parts = [p for p in context.info.path.split("/") if p]
        accept = context.headers.get("accept", "")
        if request.method not in ("GET", "HEAD"):
            return self._discovery_refused(parts)
        if len(parts) == 1:
            return self._root(context, parts[0], accept)
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2] if len(parts) > 2 else "")
        versions = self.discovery.groups().get(group)
        if versions is None:
            return text(PAGE_NOT_FOUND, 404)
        if not version:
            return self._document(context, self.discovery.group(group, versions))
        document = self.discovery.resource_list(group, version)
        if document is None:
            raise errors.path_not_found()
        return self._document(context, document, LISTED)

    def _discovery_refused(self, parts: list[str]) -> Response:
        raise errors.method_not_allowed()

    def _root(self, context: RequestContext, root: str, accept: str) -> Response:
        aggregated = wants_aggregated(accept) if "as=" in accept else False
        if aggregated is None:
            raise errors.not_acceptable(f"only the following media types are accepted: {LISTED}")
        if not aggregated:
            return self._document(context, self.discovery.versions(self.address) if root == "api" else self.discovery.group_list())
        data, etag = self.discovery.aggregated(root == "api")
        headers = {"Content-Type": AGGREGATED, "ETag": etag, "Vary": "Accept", "Cache-Control": "public"}
        if context.headers.get("if-none-match") == etag:
            return Response(304, headers)
        return Response(200, headers, data)

    @staticmethod
    def _document(context: RequestContext, document: Object, produced: str = "") -> Response:
        form = negotiate(context.headers.get("accept", ""), produced=produced)
        if form.kind:
            raise errors.not_acceptable(f"only the following media types are accepted: {LISTED}")
        response = respond(document, Form(form.media_type))
        response.headers["Vary"] = "Accept"
        return response

    # OpenAPI

    def _openapi(self, context: RequestContext, path: str) -> Response:
        from tiffin.apiserver import openapi, openapi_proto
        from tiffin.apiserver.openapi_proto import openapi_v2_bytes

        if path == "/openapi/v2":
            if _first_media_type(context) in openapi_proto.ASKED_FOR:
                return self._openapi_document(context, f"{path} protobuf", lambda: openapi_v2_bytes(orjson.loads(self._openapi_v2())), openapi_proto.MEDIA_TYPE)
            return self._openapi_document(context, path, self._openapi_v2)
        if path == "/openapi/v3":
            return self._openapi_index()
        key = path.removeprefix("/openapi/v3/")
        parts = key.split("/")
        group, version = ("", parts[1]) if parts[0] == "api" and len(parts) == 2 else (parts[1], parts[2]) if parts[0] == "apis" and len(parts) == 3 else ("-", "")
        if group == "-" or not self.registry.of_version(group, version):
            general = openapi.general_v3(self.registry, key)
            if general is None:
                return text(PAGE_NOT_FOUND, 404)
            return self._openapi_document(context, path, partial(bytes, general))
        return self._openapi_document(context, path, lambda: openapi.openapi_v3(self.registry.of_version(group, version), group, version))

    def _openapi_v2(self) -> bytes:
        from tiffin.apiserver.openapi import openapi_v2

        return merged_openapi_v2(openapi_v2(self.registry), self.discovery.elsewhere.remotes.values())

    def _openapi_index(self) -> Response:
        from tiffin.apiserver.openapi import general_v3_keys

        paths = {}
        for key in general_v3_keys(self.registry):
            paths[key] = {"serverRelativeURL": f"/openapi/v3/{key}?hash={hashlib.sha256(key.encode()).hexdigest().upper()}"}
        for group, versions in self.discovery.groups().items():
            for version in versions:
                key = f"apis/{group}/{version}" if group else f"api/{version}"
                remote = self.discovery.elsewhere.remotes.get((group, version))
                if remote is not None:
                    if remote.openapi_v3:
                        paths[key] = {"serverRelativeURL": f"/openapi/v3/{key}?hash={remote.openapi_v3}"}
                    continue
                digest = hashlib.sha256(f"{key}:{self.registry.generation}".encode()).hexdigest().upper()
                paths[key] = {"serverRelativeURL": f"/openapi/v3/{key}?hash={digest}"}
        return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, orjson.dumps({"paths": paths}))

    def _openapi_document(self, context: RequestContext, path: str, make: Callable[[], bytes], media_type: str = "application/json") -> Response:
        found = self._documents.get(path)
        if found is None or found[0] != self.discovery.generation:
            data = make()
            found = self._documents[path] = (self.discovery.generation, data, f'"{hashlib.sha256(data).hexdigest().upper()}"')
        headers = {"Content-Type": media_type, "ETag": found[2], "Vary": "Accept"}
        if context.headers.get("if-none-match") == found[2]:
            return Response(304, headers)
        return Response(200, headers, found[1])


def _first_media_type(context: RequestContext) -> str:
    """What an Accept header names first, without parameters."""
    return context.headers.get("accept", "").split(",")[0].split(";")[0].strip()
