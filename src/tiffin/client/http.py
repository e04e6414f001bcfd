"""The client port over HTTP: `HttpClient` turns its methods into requests of the Kubernetes API and Statuses into ApiError.

Bounds: an answer may have `MAX_BODY` bytes, one line of a watch `MAX_LINE`. An answer 429 is waited out as its Retry-After
says, at most `PATIENCE` times. Source: Kubernetes API conventions and the `watch` verb of the API concepts page.
"""
from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from tiffin.client.client import ObjectList, PatchType, WatchEvent
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, name_of
from tiffin.net.httpclient import Answer, Pool

MAX_BODY = 512 * 1024 * 1024
MAX_LINE = 16 * 1024 * 1024
PATIENCE = 10
JSON = "application/json"


def path_of(resource: Resource, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The request path of a resource, an object or a subresource; every part is percent-encoded."""
    parts = ["apis", resource.group, resource.version] if resource.group else ["api", resource.version]
    parts += ["namespaces", namespace] if namespace else []
    parts += [part for part in (resource.plural, name) if part]
    path = "".join("/" + quote(part, safe="") for part in parts)
    return f"{path}/{quote(subresource)}" if subresource else path


def with_query(path: str, **query: str | int) -> str:
    """The path with those parameters that are neither empty nor 0."""
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


async def lines(answer: Answer, limit: int = MAX_LINE) -> AsyncIterator[bytes]:
    """The lines of a streamed body without their ends; raises ConnectionError for one longer than `limit`."""
    pending: list[bytes] = []
    size = 0
    async for chunk in answer.chunks():
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join((*pending, line)) if pending else line
            pending, size = [], 0
        if rest:
            pending.append(rest)
            size += len(rest)
            if size > limit:
                raise ConnectionError(f"a line of the answer is longer than {limit} bytes")
    if pending:
        yield b"".join(pending)


def error_of(status: int, body: bytes) -> ApiError:
    """The error for an answer that is no success, be its body a Status or not."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        decoded = None
    if isinstance(decoded, dict) and decoded.get("kind") == "Status":
        return ApiError.from_status(status, decoded)
    text = body[:2048].decode(errors="replace").strip()
    return ApiError(status, {401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}.get(status, ""), text or f"the server answered with HTTP status {status}")


class HttpClient:
    """A `Client` over one pool of connections. `token` is asked before every request, so a rotated one takes effect."""

    def __init__(self, pool: Pool, *, token: Callable[[], str] | None = None, prefix: str = "", headers: Mapping[str, str] | None = None, timeout: float = 60) -> None:
        self.pool = pool
        self._token = token
        self._prefix = prefix.rstrip("/")
        self._headers = {"User-Agent": "tiffin", **(headers or {})}
        self._timeout = timeout

    async def open(self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float | None = None) -> Answer:
        """Sends one authenticated request to `path` (with query); the answer is the caller's to read and close.

        Raises ConnectionError when no answer comes.
        """
        head = {"Accept": JSON, **self._headers, **(headers or {})}
        if self._token is not None:
            head["Authorization"] = f"Bearer {self._token()}"
        try:
            return await self.pool.request(method, self._prefix + path, head, body, timeout=timeout or self._timeout)
        except ConnectionError:
            raise
        except OSError as error:
            raise ConnectionError(str(error) or f"no answer from {self.pool.origin.authority} in time") from error

    async def call(self, method: str, path: str, body: Any = None, *, content_type: str = JSON) -> Any:
        """A request with a JSON body and a JSON answer, decoded; raises ApiError for any status but 2xx."""
        payload = b"" if body is None else orjson.dumps(body)
        headers = {"Content-Type": content_type} if payload else {}
        async with await self._patiently(method, path, payload, headers) as answer:
            content = await answer.body(MAX_BODY)
        if not 200 <= answer.status < 300:
            raise error_of(answer.status, content)
        return orjson.loads(content)

    async def _patiently(self, method: str, path: str, payload: bytes, headers: dict[str, str]) -> Answer:
        for _ in range(PATIENCE):
            answer = await self.open(method, path, body=payload, headers=headers)
            delay = answer.headers.get("retry-after", "")
            if answer.status != 429 or not delay.isdecimal():
                return answer
            answer.close()
            await asyncio.sleep(min(int(delay), 60))
        return await self.open(method, path, body=payload, headers=headers)

    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Object:
        return await self.call("GET", path_of(resource, namespace, name, subresource))

    async def list(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 0, continue_token: str = "", resource_version: str = "") -> ObjectList:
        path = with_query(path_of(resource, namespace), labelSelector=labels, fieldSelector=fields, limit=limit, resourceVersion=resource_version, **{"continue": continue_token})
        answer = await self.call("GET", path)
        return ObjectList(_named(answer), answer["metadata"].get("resourceVersion") or "", answer["metadata"].get("continue") or "")

    async def create(self, resource: Resource, namespace: str, obj: Object, *, name: str = "", subresource: str = "") -> Object:
        return await self.call("POST", path_of(resource, namespace, name, subresource), obj)

    async def update(self, resource: Resource, namespace: str, obj: Object, *, subresource: str = "") -> Object:
        return await self.call("PUT", path_of(resource, namespace, name_of(obj), subresource), obj)

    async def patch(self, resource: Resource, namespace: str, name: str, patch: Any, *, type: PatchType = PatchType.MERGE, subresource: str = "", field_manager: str = "", force: bool = False) -> Object:
        path = with_query(path_of(resource, namespace, name, subresource), fieldManager=field_manager, force="true" if force else "")
        return await self.call("PATCH", path, patch, content_type=type)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str = "", resource_version: str = "", propagation: str = "", grace_period: int | None = None) -> Object:
        preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        options |= {"preconditions": preconditions} if preconditions else {}
        options |= {"propagationPolicy": propagation} if propagation else {}
        options |= {} if grace_period is None else {"gracePeriodSeconds": grace_period}
        return await self.call("DELETE", path_of(resource, namespace, name), options)

    async def watch(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str = "", bookmarks: bool = True) -> AsyncIterator[WatchEvent]:
        path = with_query(path_of(resource, namespace), watch="true", allowWatchBookmarks="true" if bookmarks else "", labelSelector=labels, fieldSelector=fields, resourceVersion=resource_version)
        async with await self._patiently("GET", path, b"", {}) as answer:
            if answer.status != 200:
                raise error_of(answer.status, await answer.body(MAX_LINE))
            async for line in lines(answer):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError.from_status(500, event["object"])
                yield WatchEvent(event["type"], event["object"])

    def close(self) -> None:
        self.pool.close()


def _named(answer: Object) -> builtins.list[Object]:
    """The items of a list, each with the kind and version that a list leaves out."""
    items = answer.get("items") or []
    kind, version = answer["kind"].removesuffix("List"), answer["apiVersion"]
    for item in items:
        item.setdefault("kind", kind)
        item.setdefault("apiVersion", version)
    return items
