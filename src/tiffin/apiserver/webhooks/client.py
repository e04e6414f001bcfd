"""The client for webhooks: one POST of JSON to where a `clientConfig` points, and the JSON that comes back.

Rules
* HTTPS only. `caBundle` says whom to believe, else the system's authorities. A Service is dialled at one of its endpoints, under the
  name `<name>.<namespace>.svc`, which its certificate has to bear.
* Redirects are not followed. Nothing of what a foreign server answers gets into an error, a log or an event: only its status, in our
  own words (CVE-2020-8555). An answer is bounded by `MOST_BYTES` and by the caller's timeout, from dialling to its last byte.
* Connections are kept and used again. A kept one that turns out dead is replaced once by a new one; a call may therefore arrive twice,
  which webhooks have to bear anyway.

Errors are `WebhookError`, worded as by Go's HTTP client and client-go: what follows "failed to call webhook: " in Kubernetes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from tiffin.apiserver.servicedial import Endpoint
from tiffin.machinery.errors import ApiError
from tiffin.machinery.field import shown
from tiffin.net.httpclient import Origin, Pool, StaleConnectionError
from tiffin.net.tlsclient import client_context

MOST_BYTES = 3 * 1024 * 1024
MOST_POOLS = 64
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "kube-apiserver-admission"}

Resolve = Callable[[str, str, int], Endpoint]
"""`resolve(namespace, name, port)` gives an endpoint of a Service; raises ApiError."""

ClientConfig = Mapping[str, Any]
"""`url` or `service` (name, namespace, path, port), and `caBundle`, as in webhook configurations and conversion of custom resources."""


class WebhookError(Exception):
    """A call that did not give a JSON answer."""


class InvalidClientConfig(WebhookError):
    """The configuration cannot be used; nothing was dialled."""


class _Place(NamedTuple):
    """Where a call goes: the URL as errors show it, its host, port and target, and the endpoint to dial in the host's place."""

    url: str
    host: str
    port: int
    target: str
    endpoint: Endpoint | None


class WebhookClient:
    """Calls webhooks; belongs to one event loop."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._pools: OrderedDict[tuple[object, ...], Pool] = OrderedDict()

    async def post(self, config: ClientConfig, body: Any, timeout: int) -> Any:
        """Sends `body` as JSON and gives the decoded answer. `timeout` is in seconds. Raises WebhookError."""
        url = shown_url(config, timeout)
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(self._place(config, url), config, orjson.dumps(body))
        except TimeoutError:
            raise WebhookError(f"Post {shown(url)}: context deadline exceeded") from None
        except ApiError as error:  # of finding the Service
            raise WebhookError(f"Post {shown(url)}: {error.message}") from None

    def close(self) -> None:
        """Closes all connections."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _place(self, config: ClientConfig, url: str) -> _Place:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        service = config.get("service")
        endpoint = self._resolve(service["namespace"], service["name"], port) if service else None
        return _Place(url, host, port, f"{parts.path or '/'}?{parts.query}", endpoint)

    async def _exchange(self, place: _Place, config: ClientConfig, body: bytes) -> Any:
        try:
            try:
                return await self._send(self._pool(place, config), place, body)
            except StaleConnectionError:
                self._drop(place, config)
                return await self._send(self._pool(place, config), place, body)
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a URL that cannot be put into a request line
            raise WebhookError(f"Post {shown(place.url)}: {error}") from error

    @staticmethod
    async def _send(pool: Pool, place: _Place, body: bytes) -> Any:
        async with await pool.request("POST", place.target, _HEADERS, body, timeout=None) as answer:
            if not 200 <= answer.status < 300:
                raise WebhookError(status_words(answer.status))
            content = await answer.body(MOST_BYTES)
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            raise WebhookError("the response is not JSON") from None  # and what it is stays here

    @staticmethod
    def _key(place: _Place, config: ClientConfig) -> tuple[object, ...]:
        return place.host, place.port, place.endpoint, config.get("caBundle") or ""

    def _pool(self, place: _Place, config: ClientConfig) -> Pool:
        key = self._key(place, config)
        pool = self._pools.get(key)
        if pool is None:
            dialled = (place.endpoint.port, place.endpoint.address) if place.endpoint else (place.port, "")
            origin = Origin(place.host, dialled[0], trust(config.get("caBundle") or ""), dialled[1], server_name=place.host)
            pool = self._pools[key] = Pool(origin, connect_timeout=30)
            if len(self._pools) > MOST_POOLS:
                self._pools.popitem(last=False)[1].retire()
        self._pools.move_to_end(key)
        return pool

    def _drop(self, place: _Place, config: ClientConfig) -> None:
        pool = self._pools.pop(self._key(place, config), None)
        if pool is not None:
            pool.retire()


def shown_url(config: ClientConfig, timeout: int) -> str:
    """The URL of a call, with the timeout it announces."""
    service = config.get("service")
    if service is None:
        base = config.get("url") or ""
    else:
        path = (service.get("path") or "/").lstrip("/")
        base = f"https://{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}/{path}"
    return f"{base}?timeout={timeout}s"


def trust(bundle: str) -> ssl.SSLContext:
    """Believes the authorities of a base64 PEM bundle, or the system's where it is empty. Raises InvalidClientConfig."""
    try:
        return client_context(base64.b64decode(bundle, validate=True).decode("ascii"))
    except (binascii.Error, ValueError, ssl.SSLError):
        raise InvalidClientConfig("unable to load root certificates: unable to parse bytes as PEM block") from None


_WORDS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    403: "unknown",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


def status_words(status: int) -> str:
    """What client-go says of an HTTP status that is an error, without what the server said about it."""
    if status in _WORDS:
        return _WORDS[status]
    if status >= 500:
        return 'an error on the server ("unknown") has prevented the request from succeeding'
    return f"the server responded with the status code {status} but did not return more information"
