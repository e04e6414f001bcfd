"""The node's own HTTPS port: exec, attach, port-forward and logs of its pods, and what it says of itself.

Rules
* Every request passes `Access` first, before anything is looked up. There is no read-only port, no /run and no /cri.
* exec, attach and portForward need the verb create whatever their method, as they let the caller run things.
* Streaming goes to the runtime's streaming URL (CRI), translated for WebSocket clients (`net/remotecommand.py`).
* Errors are plain text with the words of Kubernetes, which the API server and kubectl pass on to the user.

Source: kubelet server paths; CRI streaming API; KEP-2862.
"""
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import parse_qs, unquote

import orjson

from tiffin.kubelet.access import Access
from tiffin.machinery.errors import ApiError, bad_request, too_many_requests
from tiffin.machinery.object import Object, dig, name_of, uid_of
from tiffin.machinery.timestamps import parse_time
from tiffin.net import websocket
from tiffin.net.http import Connection, Request, Response, Writer
from tiffin.net.remotecommand import Streams, asks_for_spdy, pass_through, translate_command, translate_port_forward

MAX_STREAMS = 256
"""Streaming requests under way at once."""
TOO_MANY = "too many streams are open on this node"
LISTS = (("containers", "containerStatuses"), ("initContainers", "initContainerStatuses"), ("ephemeralContainers", "ephemeralContainerStatuses"))

Page = Callable[[], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which part of a container's log; `since` is a moment, `stream` All, Stdout or Stderr."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None
    stream: str = "All"


class Node(Protocol):
    """What this port needs of the node agent. Its methods raise ApiError, and ConnectionError when the runtime is gone."""

    def pods(self) -> Sequence[Object]:
        """The node's pods with the status the node gives them, which may be newer than the API server's."""
        ...

    def pod(self, namespace: str, name: str) -> Object | None: ...

    def running_container(self, pod: Object, container: str) -> str:
        """The id of a container that runs, or ""."""
        ...

    def sandbox(self, pod: Object) -> str:
        """The id of the pod's ready sandbox, or ""."""
        ...

    async def exec_url(self, container_id: str, command: Sequence[str], streams: Streams) -> str: ...

    async def attach_url(self, container_id: str, streams: Streams) -> str: ...

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str: ...

    def log(self, pod: Object, container: str, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        """The lines of one run of a container, as text; with `follow` until the container has ended."""
        ...


class NodeServer:
    """The handler of the node's port. `pages` are further paths such as /metrics, by path."""

    def __init__(self, node: Node, access: Access, now: Callable[[], datetime], pages: Mapping[str, Page]) -> None:
        self._node, self._access, self._now, self._pages = node, access, now, pages
        self._streams = 0

    async def handle(self, request: Request) -> Response:
        try:
            return await self._route(request)
        except ApiError as error:
            return _plain(error.code, error.message, error.headers)
        except websocket.HandshakeError as error:
            return _plain(400, str(error))
        except ConnectionError as error:
            return _plain(500, str(error))

    async def _route(self, request: Request) -> Response:
        path = request.raw_path
        parts = [unquote(p) for p in path.split("/")[1:]]
        verb, subresources = _asked(request.method, parts[0])
        await self._access.check(request, verb, subresources)
        match parts:
            case ["healthz"]:
                return _plain(200, "ok")
            case ["pods" | "runningpods"] | ["pods" | "runningpods", ""]:
                return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(self._node.pods())})
            case ["containerLogs", namespace, pod, container]:
                return await self._logs(request, namespace, pod, container)
            case ["exec" | "attach" as kind, namespace, pod, container]:
                return await self._counted(self._command(request, kind, self._pod(namespace, pod), container))
            case ["exec" | "attach" as kind, namespace, pod, uid, container]:
                return await self._counted(self._command(request, kind, self._pod(namespace, pod, uid), container))
            case ["portForward", namespace, pod]:
                return await self._counted(self._port_forward(request, self._pod(namespace, pod)))
            case ["portForward", namespace, pod, uid]:
                return await self._counted(self._port_forward(request, self._pod(namespace, pod, uid)))
        if (page := self._pages.get(path)) is not None and request.method == "GET":
            return await page()
        return _plain(404, "404 page not found\n")

    def _pod(self, namespace: str, name: str, uid: str = "") -> Object:
        pod = self._node.pod(namespace, name)
        if pod is None or (uid and uid_of(pod) != uid):
            raise ApiError(404, "NotFound", "pod does not exist")
        return pod

    # ---- exec, attach, port-forward

    async def _counted(self, coming: Awaitable[Response]) -> Response:
        """Counts a stream from its request to its end, and refuses it beyond `MAX_STREAMS`."""
        self._streams += 1
        try:
            if self._streams > MAX_STREAMS:
                coming.close()  # type: ignore[attr-defined]
                raise too_many_requests(TOO_MANY)
            response = await coming
        except BaseException:
            self._streams -= 1
            raise
        return self._counting_down(response)

    def _counting_down(self, response: Response) -> Response:
        upgrade, discard = response.upgrade, response.discard

        async def finished(connection: Connection) -> None:
            assert upgrade is not None
            try:
                await upgrade(connection)
            finally:
                self._streams -= 1

        def discarded() -> None:
            self._streams -= 1
            if discard is not None:
                discard()

        if upgrade is None:
            self._streams -= 1
        else:
            response.upgrade, response.discard = finished, discarded
        return response

    async def _command(self, request: Request, kind: str, pod: Object, container: str) -> Response:
        query = parse_qs(request.target.partition("?")[2], keep_blank_values=True)
        streams = _streams(query)
        container_id = self._node.running_container(pod, container)
        if not container_id:
            raise ApiError(404, "NotFound", f'container not found ("{container}")')
        if kind == "attach":
            streams = _attached(pod, container, streams)
        _need_upgrade(request)
        if kind == "exec":
            url = await self._node.exec_url(container_id, query.get("command", []), streams)
        else:
            url = await self._node.attach_url(container_id, streams)
        if asks_for_spdy(request):
            return await pass_through(request, url)
        return await translate_command(request, url, streams)

    async def _port_forward(self, request: Request, pod: Object) -> Response:
        ports = _ports(parse_qs(request.target.partition("?")[2]))
        sandbox = self._node.sandbox(pod)
        if not sandbox:
            raise ApiError(404, "NotFound", f'not able to find the sandbox of pod "{name_of(pod)}"')
        _need_upgrade(request)
        url = await self._node.port_forward_url(sandbox, ports)
        if asks_for_spdy(request):
            return await pass_through(request, url)
        return await translate_port_forward(request, url, ports)

    # ---- logs

    async def _logs(self, request: Request, namespace: str, name: str, container: str) -> Response:
        if request.method != "GET":
            raise ApiError(405, "MethodNotAllowed", "Method Not Allowed")
        query = {k: v[0] for k, v in parse_qs(request.target.partition("?")[2]).items()}
        options = log_options(query, self._now())
        pod = self._node.pod(namespace, name)
        if pod is None:
            raise ApiError(404, "NotFound", f'pod "{name}" does not exist')
        if not any(c["name"] == container for part, _ in LISTS for c in dig(pod, "spec", part, default=[])):
            raise ApiError(404, "NotFound", f'container "{container}" not found in pod "{name}"')
        lines = self._node.log(pod, container, logged_container(pod, container, query.get("previous") == "true"), options)
        if self._streams >= MAX_STREAMS:
            raise too_many_requests(TOO_MANY)
        # What is wrong with a log shows when it is opened, in the first step; the answer waits for that and not for lines.
        first = asyncio.ensure_future(_next(lines))
        await asyncio.sleep(0)
        if first.done():
            first.result()

        async def stream(writer: Writer) -> None:
            self._streams += 1
            try:
                await _pour(first, lines, writer)
            finally:
                self._streams -= 1

        def discard() -> None:
            first.cancel()

        return Response(200, {"Content-Type": "text/plain"}, stream=stream, discard=discard)


def _asked(method: str, place: str) -> tuple[str, tuple[str, ...]]:
    """The verb and the subresources of the node, of which one must be allowed, for a path that begins with `place`."""
    verb = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method, "proxy")
    if place in ("exec", "attach", "portForward"):
        return "create", ("proxy",)
    if place in ("pods", "runningpods"):
        return verb, ("pods", "proxy")
    if place in ("healthz", "configz"):
        return verb, (place, "proxy")
    return verb, (place if place in ("stats", "metrics") else "proxy",)


def _need_upgrade(request: Request) -> None:
    if not asks_for_spdy(request) and not websocket.is_upgrade(request):
        raise bad_request("Upgrade request required")
    if asks_for_spdy(request) and request.method != "POST":
        raise ApiError(405, "MethodNotAllowed", "SPDY needs a POST")


def _streams(query: Mapping[str, list[str]]) -> Streams:
    asked = {name: query.get(name, [""])[0] == "1" for name in ("input", "output", "error", "tty")}
    streams = Streams(asked["input"], asked["output"], asked["error"] and not asked["tty"], asked["tty"])
    if not (streams.stdin or streams.stdout or streams.stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return streams


def _attached(pod: Object, container: str, streams: Streams) -> Streams:
    """Whether an attached container has a terminal is its own affair, not the caller's."""
    tty = any(c["name"] == container and c.get("tty") for part, _ in LISTS for c in dig(pod, "spec", part, default=[]))
    return Streams(streams.stdin, streams.stdout, streams.stderr and not tty, tty)


def _ports(query: Mapping[str, list[str]]) -> list[int]:
    ports = []
    for text in (piece for value in query.get("port", []) for piece in value.split(",")):
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise bad_request(f'unable to parse "{text}" as a port')
        ports.append(int(text))
    if len(ports) > 64:
        raise bad_request("too many ports")
    return ports


def log_options(query: Mapping[str, str], now: datetime) -> LogOptions:
    """The log options in a query; raises ApiError 400."""
    try:
        numbers = {name: int(query[name]) for name in ("tailLines", "limitBytes", "sinceSeconds") if query.get(name)}
        since = parse_time(query["sinceTime"]) if query.get("sinceTime") else None
    except ValueError as error:
        raise bad_request(str(error)) from error
    stream = query.get("stream") or "All"
    if any(n < 0 for n in numbers.values()) or stream not in ("All", "Stdout", "Stderr"):
        raise ApiError(422, "Invalid", "Invalid request.")
    if "sinceSeconds" in numbers:
        since = now - timedelta(seconds=min(numbers["sinceSeconds"], 10**9))
    flags = {name: query.get(name) == "true" for name in ("follow", "timestamps")}
    return LogOptions(flags["follow"], flags["timestamps"], numbers.get("tailLines"), numbers.get("limitBytes"), since, stream)


def logged_container(pod: Object, container: str, previous: bool) -> str:
    """The id of the run whose log is meant, from the pod's status; raises ApiError 400 with the reason why there is none."""
    where = f'container "{container}" in pod "{name_of(pod)}"'
    status = next((s for _, part in LISTS for s in dig(pod, "status", part, default=[]) if s.get("name") == container), None)
    if status is None:
        raise bad_request(f"{where} is not available")
    state, last = status.get("state") or {}, dig(status, "lastState", "terminated", default={})
    last_id = _id(last.get("containerID"))
    if previous:
        if not last_id:
            raise bad_request(f"previous terminated {where} not found")
        return last_id
    if state.get("running") is not None:
        return _id(status.get("containerID"))
    ended = state.get("terminated")
    if ended is not None or last:
        found = _id((ended or {}).get("containerID")) or last_id
        if not found:
            raise bad_request(f"{where} is terminated")
        return found
    reason = dig(state, "waiting", "reason", default="")
    known = {"ErrImagePull": ": image can't be pulled", "ImagePullBackOff": ": trying and failing to pull image"}
    if state.get("waiting") is None:
        raise bad_request(f"{where} is waiting to start - no logs yet")
    raise bad_request(f"{where} is waiting to start{known.get(reason, f': {reason}')}")


def _id(text: str | None) -> str:
    """`containerd://abc` as `abc`."""
    return (text or "").partition("://")[2]


async def _next(lines: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(lines, None)


async def _pour(first: asyncio.Future[bytes | None], lines: AsyncGenerator[bytes, None], writer: Writer) -> None:
    """Writes the lines, `first` before all, until they end or the reader leaves."""

    async def copy() -> None:
        line = await first
        while line is not None:
            writer.write(line)
            if writer.buffered > 65536:
                await writer.drain()
            line = await _next(lines)

    copying, leaving = asyncio.ensure_future(copy()), asyncio.ensure_future(writer.wait_closed())
    try:
        await asyncio.wait([copying, leaving], return_when=asyncio.FIRST_COMPLETED)
        if copying.done():
            copying.result()
    finally:
        for task in (copying, leaving, first):
            task.cancel()
        await asyncio.gather(copying, leaving, first, return_exceptions=True)
        await lines.aclose()


def _plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}, text.encode())


def _json(value: object) -> Response:
    return Response(200, {"Content-Type": "application/json"}, orjson.dumps(value))

