"""The proxy subresource of pods, services and nodes: one HTTP request, or an upgrade, passed to a backend.

Rules
* The target is a literal address from a status or an EndpointSlice, checked before it is dialled: never loopback, link-local,
  multicast or unspecified (CVE-2020-8562, CVE-2022-3294). The node's own port is reached as in `streaming.py`. Simulated nodes and
  their pods are not there: their addresses are made up, and may be somebody else's.
* The caller's credentials stay here: Authorization, impersonation and authenticating-proxy headers are not passed on.
* Redirects are not followed. One within the backend is passed on with the proxy's path in front; any other is refused.
* Beyond that nothing is rewritten; hop-by-hop headers are dropped.
"""
from __future__ import annotations

import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

from tiffin.api.kind import Subresource
from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.nodes import NodeDirectory, checked_address
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.registry import Served
from tiffin.apiserver.servicedial import ServiceDialer
from tiffin.apiserver.streaming import PODS, REDIRECTED
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, dig, name_of
from tiffin.net.http import Request, Response
from tiffin.net.httpclient import Answer, Origin, Pool
from tiffin.net.relay import end_to_end, relayed, upgrade_headers
from tiffin.net.tlsclient import client_context

PRIVATE = ("authorization", "host", "content-length")
PRIVATE_PREFIXES = ("impersonate-", "x-remote-", "x-forwarded-")
ANSWER_TIMEOUT = 60.0


class Target(NamedTuple):
    """`name`, `name:port` or `scheme:name:port`, taken apart."""

    scheme: str
    name: str
    port: str


def split_target(text: str, kind: str) -> Target:
    """Raises ApiError 400 for what has no such form."""
    parts = text.split(":")
    scheme, name, port = ("", parts[0], "") if len(parts) == 1 else ("", *parts) if len(parts) == 2 else parts if len(parts) == 3 else ("?", "", "")
    if not name or scheme not in ("", "http", "https"):
        raise errors.bad_request(f'invalid {kind} request "{text}"')
    return Target(scheme, name, port)


class Proxying:
    """The handler of proxy subresources."""

    def __init__(self, reader: Reader, nodes: NodeDirectory) -> None:
        self._reader, self._nodes, self._services = reader, nodes, ServiceDialer(reader)
        self._tls: ssl.SSLContext | None = None

    async def proxy(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        info = context.info
        pool = {"pods": self._pod, "services": self._service, "nodes": self._node}[info.resource.plural](info.namespace, info.name)
        if not info.rest and request.method in ("GET", "HEAD") and "upgrade" not in request.headers:
            path, mark, query = request.target.partition("?")
            return Response(301, {"Location": f"{path}/{mark}{query}"})
        query = request.target.partition("?")[2]
        target = (info.rest or "/") + (f"?{query}" if query else "")
        try:
            answer = await pool.request(request.method, target, _headers(request), request.body, timeout=ANSWER_TIMEOUT)
        except (OSError, ValueError) as error:
            raise errors.service_unavailable(f"error trying to reach service: {error or 'i/o timeout'}") from error
        prefix = request.raw_path[: len(request.raw_path) - len(info.rest)] if info.rest else request.raw_path
        location = _location(answer, pool.origin, prefix)
        response = relayed(answer)
        return response if location is None else _with_location(response, location)

    # ---- where to

    def _pod(self, namespace: str, text: str) -> Pool:
        scheme, name, port = split_target(text, "pod")
        pod = self._reader.get(PODS, namespace, name)
        if pod is None:
            raise errors.not_found("pods", name)
        self._nodes.refuse_simulated(dig(pod, "spec", "nodeName", default=""), f"pod {name} is not there")
        ports = [p for c in dig(pod, "spec", "containers", default=[]) for p in c.get("ports") or ()]
        address = checked_address(_pod_ip(pod))
        return self._backend(scheme, address, port or (str(ports[0]["containerPort"]) if ports else ""))

    def _node(self, namespace: str, text: str) -> Pool:
        scheme, name, port = split_target(text, "node")
        node = self._nodes.node(name)
        if not port or port == str(self._nodes.port(node)):
            return self._nodes.pool(name)
        self._nodes.refuse_simulated(name, "nothing listens there")
        return self._backend(scheme, checked_address(self._nodes.address(node)), port)

    def _service(self, namespace: str, text: str) -> Pool:
        scheme, name, port = split_target(text, "service")
        port_name = _service_port(self._services.service(namespace, name), port)
        endpoint = self._services.endpoint(namespace, name, port_name, text)
        return self._backend(scheme, endpoint.address, str(endpoint.port))

    def _backend(self, scheme: str, address: str, port: str) -> Pool:
        number = int(port) if port.isdecimal() else 0 if port else 443 if scheme == "https" else 80
        if not 0 < number < 65536:
            raise errors.bad_request(f'invalid port "{port}"')
        return Pool(Origin(address, number, self._unverified() if scheme == "https" else None), idle=0)

    def _unverified(self) -> ssl.SSLContext:
        """For https backends: nobody vouches for a pod's certificate, as in Kubernetes."""
        if self._tls is None:
            self._tls = client_context(verify=False)
        return self._tls


def _pod_ip(pod: Object) -> str:
    ips = dig(pod, "status", "podIPs", default=[])
    return (ips[0].get("ip") if ips else dig(pod, "status", "podIP", default="")) or ""


def _service_port(service: Object, wanted: str) -> str:
    """The name of the service's port meant by a name, a number or nothing; raises ApiError 503."""
    ports = dig(service, "spec", "ports", default=[])
    if not wanted and len(ports) == 1:
        return ports[0].get("name") or ""
    for port in ports:
        if wanted.isdecimal() and port.get("port") == int(wanted):
            return port.get("name") or ""
        if (port.get("name") or "") == wanted:
            return wanted
    raise errors.service_unavailable(f'no service port "{wanted}" found for service "{name_of(service)}"')


# ---- headers


def _headers(request: Request) -> list[tuple[str, str]]:
    headers = [(k, v) for k, v in end_to_end(request.headers.items()) if k not in PRIVATE and not k.startswith(PRIVATE_PREFIXES)]
    before = request.headers.get("x-forwarded-for")
    headers += [
        ("X-Forwarded-For", f"{before}, {request.peer}" if before else request.peer),
        ("X-Forwarded-Host", request.headers.get("host", "")),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Uri", request.raw_path),
    ]
    return headers + list(upgrade_headers(request.headers).items())


def _location(answer: Answer, origin: Origin, prefix: str) -> str | None:
    """The redirect as the client may see it, None where there is none; raises ApiError 502 for one that leads elsewhere."""
    if not 300 <= answer.status < 400 or "location" not in answer.headers:
        return None
    where = answer.headers["location"]
    parts = urlsplit(where)
    own = not parts.netloc or (parts.netloc == origin.authority and parts.scheme in ("", "https" if origin.tls else "http"))
    if not own or parts.scheme not in ("", "http", "https") or "\\" in where:
        answer.close()
        raise ApiError(502, "", REDIRECTED)
    if not parts.path.startswith("/"):
        return where
    return prefix.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")


def _with_location(response: Response, location: str) -> Response:
    response.headers["location"] = location
    return response
