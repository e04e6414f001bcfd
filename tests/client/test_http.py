from __future__ import annotations

import asyncio

import orjson
import pytest

from tests.net.scripted import read_request, response, serving
from tiffin.client.client import PatchType
from tiffin.client.http import HttpClient, path_of
from tiffin.machinery.errors import ApiError, not_found
from tiffin.machinery.object import Resource
from tiffin.net.httpclient import Origin, Pool

PODS = Resource("", "v1", "pods")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}}


class Scripted:
    """A server that gives the answers it was told to and remembers the requests."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.requests.append(await read_request(reader))
            writer.write(self.answers.pop(0))
            if not self.answers:
                return


def client(port: int) -> HttpClient:
    return HttpClient(Pool(Origin("127.0.0.1", port)), token=lambda: "secret")


def ok(body: object, status: str = "200 OK", *headers: str) -> bytes:
    return response(orjson.dumps(body), status, *headers)


@pytest.mark.parametrize(("arguments", "path"), [
    ((PODS,), "/api/v1/pods"),
    ((PODS, "n"), "/api/v1/namespaces/n/pods"),
    ((PODS, "n", "p", "log"), "/api/v1/namespaces/n/pods/p/log"),
    ((DEPLOYMENTS, "n", "a/../b"), "/apis/apps/v1/namespaces/n/deployments/a%2F..%2Fb"),
])  # fmt: skip
def test_paths(arguments: tuple, path: str) -> None:
    assert path_of(*arguments) == path


async def test_every_verb_is_one_request() -> None:
    server = Scripted(*[ok(POD)] * 6)
    async with serving(server.serve) as port:
        c = client(port)
        await c.get(PODS, "n", "p")
        await c.create(PODS, "n", POD)
        await c.create(PODS, "n", {}, name="p", subresource="binding")
        await c.update(PODS, "n", POD, subresource="status")
        await c.patch(PODS, "n", "p", {"a": 1}, type=PatchType.APPLY, field_manager="me", force=True)
        await c.delete(PODS, "n", "p", uid="u", propagation="Orphan", grace_period=0)
        c.close()
    assert [line.removesuffix(" HTTP/1.1") for line, _, _ in server.requests] == [
        "GET /api/v1/namespaces/n/pods/p",
        "POST /api/v1/namespaces/n/pods",
        "POST /api/v1/namespaces/n/pods/p/binding",
        "PUT /api/v1/namespaces/n/pods/p/status",
        "PATCH /api/v1/namespaces/n/pods/p?fieldManager=me&force=true",
        "DELETE /api/v1/namespaces/n/pods/p",
    ]
    assert all(headers["authorization"] == "Bearer secret" for _, headers, _ in server.requests)
    assert server.requests[4][1]["content-type"] == "application/apply-patch+yaml"
    assert orjson.loads(server.requests[5][2]) == {
        "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "u"}, "propagationPolicy": "Orphan", "gracePeriodSeconds": 0,
    }  # fmt: skip


async def test_a_list_names_its_items() -> None:
    page = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": "c"}, "items": [{"metadata": {"name": "p"}}]}
    server = Scripted(ok(page))
    async with serving(server.serve) as port:
        answer = await client(port).list(PODS, labels="a in (b)", limit=1)
    assert server.requests[0][0] == "GET /api/v1/pods?labelSelector=a+in+%28b%29&limit=1 HTTP/1.1"
    assert answer == ([{"metadata": {"name": "p"}, "kind": "Pod", "apiVersion": "v1"}], "7", "c")


async def test_a_status_becomes_an_error() -> None:
    server = Scripted(ok(not_found("pods", "p").status(), "404 Not Found"), response(b"<html>", "502 Bad Gateway"))
    async with serving(server.serve) as port:
        c = client(port)
        with pytest.raises(ApiError) as error:
            await c.get(PODS, "n", "p")
        assert (error.value.code, error.value.reason, error.value.message) == (404, "NotFound", 'pods "p" not found')
        with pytest.raises(ApiError) as error:
            await c.get(PODS, "n", "p")
        assert (error.value.code, error.value.message) == (502, "<html>")
        c.close()


async def test_too_many_requests_are_waited_out() -> None:
    server = Scripted(response(b"", "429 Too Many Requests", "Retry-After: 0"), ok(POD))
    async with serving(server.serve) as port:
        assert await client(port).create(PODS, "n", POD) == POD
    assert len(server.requests) == 2


async def test_nobody_there_is_a_connection_error() -> None:
    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async with serving(gone) as port:
        pass
    with pytest.raises(ConnectionError):
        await client(port).get(PODS, "n", "p")


def watch_answer(*events: object, step: int = 10) -> bytes:
    body = b"".join(orjson.dumps(e) + b"\n" for e in events)
    chunks = [body[at : at + step] for at in range(0, len(body), step)]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


@pytest.mark.parametrize("step", [1, 13, 4096])
async def test_a_watch_is_decoded_line_by_line(step: int) -> None:
    server = Scripted(watch_answer({"type": "ADDED", "object": POD}, {"type": "BOOKMARK", "object": {}}, step=step))
    async with serving(server.serve) as port:
        events = [event async for event in client(port).watch(PODS, resource_version="5")]
    assert server.requests[0][0] == "GET /api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion=5 HTTP/1.1"
    assert events == [("ADDED", POD), ("BOOKMARK", {})]


async def test_an_error_event_is_raised() -> None:
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (2)"}
    server = Scripted(watch_answer({"type": "ERROR", "object": gone}))
    async with serving(server.serve) as port:
        with pytest.raises(ApiError) as error:
            async for _ in client(port).watch(PODS, resource_version="1"):
                pass
    assert (error.value.code, error.value.reason) == (410, "Expired")


async def test_the_lines_of_a_watch_are_bounded() -> None:
    from tiffin.client.http import lines

    server = Scripted(response(b"x" * 1000))
    async with serving(server.serve) as port:
        pool = Pool(Origin("127.0.0.1", port))
        async with await pool.request("GET", "/") as answer:
            with pytest.raises(ConnectionError):
                async for _ in lines(answer, limit=999):
                    pass
        pool.close()


@pytest.mark.parametrize("name", ["../../other/secrets/x", "..", "a/b", "x?watch=1", "x#y", "x%2fy", "x y", "x\r\nHost: evil"])
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    """Pods may name secrets and claims by any text: what a kubelet asks for stays within the pod's namespace."""
    path = path_of(Resource("", "v1", "secrets"), "default", name)
    assert path.startswith("/api/v1/namespaces/default/secrets/") and path.count("/") == 6 and not set(path) & set("?# \r\n")
