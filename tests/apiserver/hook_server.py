"""A webhook on a loopback socket, with TLS of an authority of its own, that answers what a test tells it to."""
from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from tiffin.machinery.object import Object
from tiffin.net.http import Request, Response
from tiffin.net.pki import Pki
from tiffin.net.server import Server

Answer = Callable[[Object], Awaitable[Response] | Response]
HOSTS = ["127.0.0.1", "localhost", "hook.default.svc"]


def reviewed(review: Object, allowed: bool = True, **more: Any) -> Response:
    """The answer of a well-behaved admission webhook. `patch` is given as a list of operations."""
    response = {"uid": review["request"]["uid"], "allowed": allowed, **more}
    if "patch" in more:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(more["patch"])).decode()}
    return as_json({"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response})


def as_json(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(status, {"Content-Type": "application/json", **headers}, orjson.dumps(body))


@dataclass
class Hook:
    """The running server: `seen` are the bodies and `targets` the paths it was asked, `server` has its connections."""

    port: int
    ca_bundle: str
    server: Server
    seen: list[Object] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    answer: Answer = reviewed

    @property
    def requests(self) -> list[Object]:
        return [review["request"] for review in self.seen]

    def url(self, path: str = "/") -> Object:
        """A clientConfig that points here."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.ca_bundle}


@asynccontextmanager
async def hook_server(pki: Pki, answer: Answer = reviewed) -> AsyncIterator[Hook]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = pki.serving("hook", "hook", HOSTS)
    context.load_cert_chain(pair.certificate, pair.key)

    async def handle(request: Request) -> Response:
        body = orjson.loads(request.body)
        hook.seen.append(body)
        hook.targets.append(request.target)
        given = hook.answer(body)
        return given if isinstance(given, Response) else await given

    server = Server(handle)
    port = await server.start("127.0.0.1", 0, context)
    hook = Hook(port, base64.b64encode(pki.ca_pem).decode(), server, answer=answer)
    try:
        yield hook
    finally:
        await server.stop(grace=0)
