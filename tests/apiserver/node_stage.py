"""An API server's streaming side, a node's port and a container runtime, each on its own loopback socket, with real TLS between."""
from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from tests.kubelet.fake_node import FakeNode, Reviewer, pod
from tests.net.fake_runtime import fake_runtime
from tiffin.api.kind import Subresource
from tiffin.apiserver.authz.attributes import ALLOWED, Attributes, Decision
from tiffin.apiserver.context import Query, RequestContext, request_info
from tiffin.apiserver.nodes import NODES, NodeDirectory
from tiffin.apiserver.ports import MemoryReader
from tiffin.apiserver.proxying import Proxying
from tiffin.apiserver.registry import Served
from tiffin.apiserver.streaming import PODS, Streaming
from tiffin.apiserver.user import User
from tiffin.kubelet.access import Access
from tiffin.kubelet.streams import NodeServer
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object
from tiffin.net.http import Handler, Request, Response
from tiffin.net.httpclient import Origin, Pool
from tiffin.net.pki import Pki, ensure_pki
from tiffin.net.server import Server
from tiffin.net.tlsclient import client_context

RIGHTS = {"kube-apiserver-kubelet-client": {(v, s) for v in ("get", "create") for s in ("proxy", "metrics", "stats", "pods", "healthz")}}


def node_object(port: int, address: str = "127.0.0.1", type: str = "InternalIP", name: str = "n") -> Object:
    status = {"addresses": [{"type": "Hostname", "address": "localhost"}, {"type": type, "address": address}]}
    return {"metadata": {"name": name}, "status": status | {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}}


@dataclass
class Stage:
    pki: Pki
    reader: MemoryReader
    pool: Pool
    node: FakeNode
    asked: list[Attributes] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)

    def authorize(self, attributes: Attributes) -> Decision:
        self.asked.append(attributes)
        return Decision(False) if attributes.verb in self.denied else ALLOWED


def node_tls(pki: Pki) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = pki.node_serving("n", ["127.0.0.1"])
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(pki.authority.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def kubelet_tls(pki: Pki) -> ssl.SSLContext:
    pair = pki.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client")
    return client_context(pki.ca_pem.decode(), pair.certificate.read_text(), pair.key.read_text())


def api_handler(stage: Stage, nodes: NodeDirectory) -> Handler:
    """The subresource handlers behind a path, without the rest of an API server."""
    streaming = Streaming(stage.reader, stage.authorize, nodes)
    handlers = streaming.handlers() | {"proxy": Proxying(stage.reader, nodes).proxy}

    async def handle(request: Request) -> Response:
        query = Query.parse(request.target.partition("?")[2])
        try:
            info = request_info(request.method, request.raw_path, query)
            context = RequestContext(info, query, request.headers, user=User("alice"), peer=request.peer)
            served: Served = None  # type: ignore[assignment]
            return await handlers[info.subresource](context, served, Subresource(info.subresource), request)
        except ApiError as error:
            return Response(error.code, {"Content-Type": "application/json"}, orjson.dumps(error.status()))

    return handle


@asynccontextmanager
async def stage(directory: Path, node_handler: Handler | None = None) -> AsyncIterator[Stage]:
    """Everything running, pod d/p on node n. `node_handler` replaces the node's own."""
    pki = ensure_pki(directory, ["127.0.0.1"])
    async with fake_runtime() as runtime:
        node = FakeNode(runtime)
        access = Access(Reviewer({}, RIGHTS), "n", lambda: 0.0)  # type: ignore[arg-type]
        port_server = Server(node_handler or NodeServer(node, access, lambda: datetime.now(UTC), {}).handle)
        node_port = await port_server.start("127.0.0.1", 0, node_tls(pki))
        reader = MemoryReader()
        reader.put(NODES, node_object(node_port))
        reader.put(PODS, pod())
        result = Stage(pki, reader, None, node)  # type: ignore[arg-type]
        api = Server(api_handler(result, NodeDirectory(reader, lambda: kubelet_tls(pki))))
        result.pool = Pool(Origin("127.0.0.1", await api.start("127.0.0.1", 0)))
        try:
            yield result
        finally:
            result.pool.close()
            await api.stop(grace=0)
            await port_server.stop(grace=0)
