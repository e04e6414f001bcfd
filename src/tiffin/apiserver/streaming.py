"""Streams between a client and a node: pods/exec, pods/attach, pods/portforward, pods/log.

Rules
* What can be checked here is checked before the node is asked: the pod, its container, its node, the options.
* The node is dialled at the address in its status, over TLS; its certificate must bear that address and come from the cluster's
  authority, and the server shows its own client certificate.
* The connection is tunnelled only after the node has said 101 (`net/relay.py`). A node that redirects is refused.
* To open a stream needs the verb create, also where WebSocket makes the request a GET.

Source: API reference (PodExecOptions, PodAttachOptions, PodPortForwardOptions, PodLogOptions); KEP-4006; CVE-2018-1002105.
"""
from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote, urlencode

from tiffin.api.kind import Subresource
from tiffin.apiserver.authz.attributes import Attributes, Decision, refusal
from tiffin.apiserver.context import Query, RequestContext
from tiffin.apiserver.nodes import NodeDirectory
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.registry import Served
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported
from tiffin.machinery.object import Object, Resource, dig, name_of, namespace_of
from tiffin.machinery.timestamps import parse_time
from tiffin.net.http import Request, Response
from tiffin.net.httpclient import Answer, Pool
from tiffin.net.relay import relayed, upgrade_headers

PODS = Resource("", "v1", "pods")
REDIRECTED = "the backend attempted to redirect this request, which is not permitted"
MAX_ERROR = 64 * 1024
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")

Handler = Callable[[RequestContext, Served, Subresource, Request], Awaitable[Response]]


class Streaming:
    """The handlers of a pod's streaming subresources; `handlers()` names them."""

    def __init__(self, reader: Reader, authorize: Callable[[Attributes], Decision], nodes: NodeDirectory) -> None:
        self._reader, self._authorize, self._nodes = reader, authorize, nodes

    def handlers(self) -> dict[str, Handler]:
        return {"exec": self.exec, "attach": self.attach, "portforward": self.portforward, "log": self.log}

    # ---- exec, attach, portforward

    async def exec(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        query = _stream_parameters(context.query) + [("command", c) for c in context.query.values.get("command", ())]
        return await self._command(context, request, query)

    async def attach(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        return await self._command(context, request, _stream_parameters(context.query))

    async def _command(self, context: RequestContext, request: Request, query: list[tuple[str, str]]) -> Response:
        self._need_create(context)
        pod = self._pod(context)
        container = container_of(pod, context.query.text("container"))
        return await self._upgrade(request, pod, f"/{context.info.subresource}/{_pod_path(pod)}/{quote(container, safe='')}", query)

    async def portforward(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        self._need_create(context)
        pod = self._pod(context)
        ports = ",".join(context.query.values.get("ports", ()))
        return await self._upgrade(request, pod, f"/portForward/{_pod_path(pod)}", [("port", ports)] if ports else [])

    def _need_create(self, context: RequestContext) -> None:
        info = context.info
        wanted = Attributes(context.user, "create", *info.resource, info.subresource, info.namespace, info.name, info.path)
        decision = self._authorize(wanted)
        if not decision.allowed:
            raise refusal(wanted, decision.reason)

    def _pod(self, context: RequestContext) -> Object:
        pod = self._reader.get(PODS, context.info.namespace, context.info.name)
        if pod is None:
            raise errors.not_found("pods", context.info.name)
        return pod

    async def _upgrade(self, request: Request, pod: Object, path: str, query: list[tuple[str, str]]) -> Response:
        pool = self._node_of(pod)
        if "upgrade" not in request.headers.get("connection", "").lower() or "upgrade" not in request.headers:
            raise errors.bad_request("Upgrade request required")
        headers = {k: v for k, v in request.headers.items() if k.startswith("sec-websocket-") or k == "x-stream-protocol-version"}
        try:
            answer = await pool.request(request.method, _target(path, query), headers | upgrade_headers(request.headers))
        except OSError as error:
            raise ApiError(500, "", f"error dialing backend: {error or 'i/o timeout'}") from error
        _refuse_redirect(answer)
        return relayed(answer)

    def _node_of(self, pod: Object) -> Pool:
        node = dig(pod, "spec", "nodeName", default="")
        if not node:
            raise errors.bad_request(f"pod {name_of(pod)} does not have a host assigned")
        return self._nodes.pool(node)

    # ---- log

    async def log(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        name = context.info.name
        query = _log_parameters(context.query, name)
        pod = self._pod(context)
        container = container_of(pod, context.query.text("container"))
        if not dig(pod, "spec", "nodeName"):
            return Response(204)
        pool = self._node_of(pod)
        target = _target(f"/containerLogs/{_pod_path(pod)}/{quote(container, safe='')}", query)
        try:
            answer = await pool.request("GET", target)
        except OSError as error:
            raise ApiError(500, "", f'Get "https://{pool.origin.authority}{target}": {error or "i/o timeout"}') from error
        if answer.status != 200:
            raise await _log_error(answer, name)
        response = relayed(answer)
        response.headers = {"Content-Type": "text/plain"}
        return response


def _refuse_redirect(answer: Answer) -> None:
    if 300 <= answer.status < 400:
        answer.close()
        raise ApiError(502, "", REDIRECTED)


async def _log_error(answer: Answer, pod: str) -> ApiError:
    """What a node says instead of a log, as the API says it."""
    _refuse_redirect(answer)
    async with answer:
        text = (await answer.body(MAX_ERROR)).decode(errors="replace").strip()
    if answer.status == 500:
        return errors.internal_error(text)
    if answer.status == 400:
        return errors.bad_request(text)
    reasons = {404: "NotFound", 403: "Forbidden", 401: "Unauthorized", 422: "Invalid", 429: "TooManyRequests", 503: "ServiceUnavailable"}
    return ApiError(answer.status, reasons.get(answer.status, ""), text, {"name": pod, "kind": "pods"})


def _pod_path(pod: Object) -> str:
    return f"{quote(namespace_of(pod), safe='')}/{quote(name_of(pod), safe='')}"


def _target(path: str, query: list[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _stream_parameters(query: Query) -> list[tuple[str, str]]:
    """The standard streams asked for, under the names the node knows."""
    names = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
    return [(node, "1") for api, node in names if query.flag(api)]


def container_of(pod: Object, wanted: str) -> str:
    """The container meant by a request: the one it names, or the only one. Raises ApiError 400."""
    every = [c["name"] for part in CONTAINER_LISTS for c in dig(pod, "spec", part, default=[])]
    if wanted:
        if wanted not in every:
            raise errors.bad_request(f"container {wanted} is not valid for pod {name_of(pod)}")
        return wanted
    plain = dig(pod, "spec", "containers", default=[])
    if len(plain) == 1:
        return plain[0]["name"]
    choice = f", choose one of: [{' '.join(every)}]" if plain else ""
    raise errors.bad_request(f"a container name must be specified for pod {name_of(pod)}{choice}")


def _log_parameters(query: Query, pod: str) -> list[tuple[str, str]]:
    """The validated PodLogOptions, as the node takes them; raises ApiError."""
    numbers = {name: query.number(name) for name in ("sinceSeconds", "tailLines", "limitBytes")}
    since_time, stream = query.text("sinceTime"), query.text("stream")
    if since_time:
        try:
            parse_time(since_time)
        except ValueError:
            raise errors.bad_request(f'parsing time "{since_time}" as "2006-01-02T15:04:05Z07:00": cannot parse "{since_time}" as "2006"') from None
    if violations := _log_violations(numbers, since_time, stream):
        raise errors.invalid("PodLogOptions", "", pod, violations)
    flags = [(name, "true") for name in ("follow", "previous", "timestamps") if query.flag(name)]
    return [*flags, *((n, str(v)) for n, v in numbers.items() if v is not None), *((n, v) for n, v in (("sinceTime", since_time), ("stream", stream)) if v)]


def _log_violations(numbers: Mapping[str, int | None], since_time: str, stream: str) -> list[FieldError]:
    found: list[FieldError] = []
    tail, limit, since = numbers["tailLines"], numbers["limitBytes"], numbers["sinceSeconds"]
    if tail is not None and tail < 0:
        found.append(invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        found.append(invalid("limitBytes", limit, "must be greater than 0"))
    if since is not None and since_time:
        found.append(forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif since is not None and since < 1:
        found.append(invalid("sinceSeconds", since, "must be greater than 0"))
    if stream and stream not in ("All", "Stdout", "Stderr"):
        found.append(not_supported("stream", stream, ("All", "Stderr", "Stdout")))
    elif stream in ("Stdout", "Stderr") and tail is not None:
        found.append(forbidden("", "`tailLines` and specific `stream` are mutually exclusive for now"))
    return found
