from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.kubelet.fake_node import ADMIN, FakeNode, Reviewer, pod
from tests.net.fake_runtime import fake_runtime
from tests.net.streaming_clients import Wish, run
from tiffin.kubelet import streams
from tiffin.kubelet.access import Access
from tiffin.kubelet.streams import LogOptions, NodeServer, log_options, logged_container
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object
from tiffin.net.http import Request
from tiffin.net.httpclient import Origin, Pool
from tiffin.net.remotecommand import Streams
from tiffin.net.server import Server
from tiffin.net.websocket import request_headers

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TOKEN = {"authorization": "Bearer good"}
V5 = "v5.channel.k8s.io"


@asynccontextmanager
async def node_port(*pods: Object) -> AsyncIterator[tuple[FakeNode, Pool]]:
    """A node whose port is served without TLS; the caller is an administrator by token."""
    async with fake_runtime() as runtime:
        node = FakeNode(runtime, list(pods) or [pod()])
        access = Access(Reviewer({"good": "admin"}, ADMIN), "n", lambda: 0.0)  # type: ignore[arg-type]
        server = Server(NodeServer(node, access, lambda: NOW, {}).handle)
        pool = Pool(Origin("127.0.0.1", await server.start("127.0.0.1", 0)))
        try:
            yield node, pool
        finally:
            pool.close()
            await server.stop(grace=0)


@pytest.mark.parametrize("dialect", ["SPDY", V5, "v4.channel.k8s.io"])
async def test_exec(dialect: str) -> None:
    async with node_port() as (node, pool):
        result = await run(dialect, pool, "/exec/d/p/c?command=fail&command=-x&output=1&error=1", Wish(), TOKEN)
        assert (result.stdout, result.stderr, result.status["details"]["causes"][0]["message"]) == (b"out", b"err", "3")
        assert node.asked == [("exec", "c", ["fail", "-x"], Streams(stdout=True, stderr=True))]


async def test_a_terminal_has_no_stderr_of_its_own() -> None:
    async with node_port() as (node, pool):
        wish = Wish(b"\x03", stderr=False, tty=True, sizes=[b"{}", b"{}"], close_stdin=False)
        await run(V5, pool, "/exec/d/p/c?command=sizes&input=1&output=1&error=1&tty=1", wish, TOKEN)
        assert node.asked[0][3] == Streams(stdin=True, stdout=True, tty=True)


@pytest.mark.parametrize("terminal", [True, False])
async def test_attach_takes_the_terminal_from_the_container(terminal: bool) -> None:
    attached = pod()
    attached["spec"]["containers"][0]["tty"] = terminal
    async with node_port(attached) as (node, pool):
        result = await run(V5, pool, "/attach/d/p/c?input=1&output=1&error=1&tty=0", Wish(b"hello"), TOKEN)
        assert result.stdout == b"hello"
        assert node.asked[0][2] == Streams(True, True, not terminal, terminal)


REFUSED = [
    ("/exec/d/none/c?command=cat&output=1", 404, "pod does not exist"),
    ("/exec/d/p/other-uid/c?command=cat&output=1", 404, "pod does not exist"),
    ("/exec/d/p/none?command=cat&output=1", 404, 'container not found ("none")'),
    ("/exec/d/p/c?command=cat", 400, "you must specify at least 1 of stdin, stdout, stderr"),
    ("/exec/d/..%2fp/c?command=cat&output=1", 404, "pod does not exist"),
    ("/portForward/d/none", 404, "pod does not exist"),
    ("/portForward/d/p?port=x", 400, 'unable to parse "x" as a port'),
    ("/portForward/d/p?port=70000", 400, 'unable to parse "70000" as a port'),
    ("/portForward/d/p", 400, 'query parameter "port" is required'),
]


@pytest.mark.parametrize(("target", "status", "text"), REFUSED)
async def test_what_cannot_be_streamed_says_why(target: str, status: int, text: str) -> None:
    async with node_port() as (_, pool), await pool.request("GET", target, request_headers(["v4.channel.k8s.io"]) | TOKEN) as answer:
        assert (answer.status, await answer.body(1000)) == (status, text.encode())


async def test_without_an_upgrade_there_is_no_stream() -> None:
    async with node_port() as (_, pool), await pool.request("POST", "/exec/d/p/c?command=cat&output=1", TOKEN) as answer:
        assert (answer.status, await answer.body(1000)) == (400, b"Upgrade request required")


async def test_a_uid_in_the_path_must_be_the_pods() -> None:
    async with node_port() as (_, pool):
        result = await run(V5, pool, "/exec/d/p/uid-p/c?command=fail&output=1&error=1", Wish(), TOKEN)
        assert result.stdout == b"out"


async def test_attack_19_streams_are_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 2)
    async with node_port() as (node, pool):
        target = "/exec/d/p/c?command=forever&output=1"
        held = [await pool.request("GET", target, request_headers([V5]) | TOKEN) for _ in range(2)]
        assert (await run(V5, pool, target, Wish(stderr=False), TOKEN)).answer.status == 429  # type: ignore[union-attr]
        for answer in held:
            answer.connection().abort()
        await node.runtime.idle.wait()
        async with await pool.request("GET", "/containerLogs/d/p/c", TOKEN) as answer:
            assert answer.status in (200, 429)


# ---- logs


async def test_logs() -> None:
    async with node_port() as (node, pool):
        async with await pool.request("GET", "/containerLogs/d/p/c?tailLines=2&timestamps=true", TOKEN) as answer:
            assert (answer.status, await answer.body(1000)) == (200, b"one\ntwo\n")
        assert node.asked == [("log", "c", LogOptions(timestamps=True, tail_lines=2))]


async def test_a_reader_that_leaves_ends_a_silent_log() -> None:
    async with node_port() as (node, pool):
        answer = await pool.request("GET", "/containerLogs/d/p/c?follow=true", TOKEN)
        assert await answer.read() == b"one\n"
        answer.close()
        await node.log_closed.wait()


async def test_a_log_that_cannot_be_opened_is_no_success() -> None:
    async with node_port() as (node, pool):
        node.log_fault = ApiError(500, "InternalError", "broken")
        async with await pool.request("GET", "/containerLogs/d/p/c?follow=true", TOKEN) as answer:
            assert (answer.status, await answer.body(1000)) == (500, b"broken")


@pytest.mark.parametrize(("target", "status", "text"), [
    ("/containerLogs/d/none/c", 404, 'pod "none" does not exist'),
    ("/containerLogs/d/p/none", 404, 'container "none" not found in pod "p"'),
    ("/containerLogs/d/p/c?tailLines=x", 400, "invalid literal for int() with base 10: 'x'"),
    ("/containerLogs/d/p/c?tailLines=-1", 422, "Invalid request."),
    ("/containerLogs/d/p/c?stream=Odd", 422, "Invalid request."),
])  # fmt: skip
async def test_logs_that_cannot_be_had(target: str, status: int, text: str) -> None:
    async with node_port() as (_, pool), await pool.request("GET", target, TOKEN) as answer:
        assert (answer.status, await answer.body(1000)) == (status, text.encode())


@pytest.mark.parametrize(("query", "expected"), [
    ({}, LogOptions()),
    ({"follow": "true", "stream": "Stderr", "limitBytes": "5"}, LogOptions(follow=True, stream="Stderr", limit_bytes=5)),
    ({"sinceSeconds": "60"}, LogOptions(since=NOW - timedelta(seconds=60))),
    ({"sinceTime": "2026-01-01T00:00:00Z"}, LogOptions(since=datetime(2026, 1, 1, tzinfo=UTC))),
])  # fmt: skip
def test_log_options(query: dict[str, str], expected: LogOptions) -> None:
    assert log_options(query, NOW) == expected


ENDED = {"terminated": {"containerID": "containerd://old"}}
WHERE = 'container "c" in pod "p"'


@pytest.mark.parametrize(("status", "previous", "outcome"), [
    (None, False, f"{WHERE} is not available"),
    ({"state": {"running": {}}, "containerID": "containerd://new"}, False, "new"),
    ({"state": {"running": {}}, "containerID": "containerd://new", "lastState": ENDED}, True, "old"),
    ({"state": {"running": {}}, "containerID": "containerd://new"}, True, f"previous terminated {WHERE} not found"),
    ({"state": ENDED}, False, "old"),
    ({"state": {"terminated": {}}, "lastState": ENDED}, False, "old"),
    ({"state": {"terminated": {}}}, False, f"{WHERE} is terminated"),
    ({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ENDED}, False, "old"),
    ({"state": {"waiting": {"reason": "ContainerCreating"}}}, False, f"{WHERE} is waiting to start: ContainerCreating"),
    ({"state": {"waiting": {"reason": "ErrImagePull"}}}, False, f"{WHERE} is waiting to start: image can't be pulled"),
    ({"state": {"waiting": {"reason": "ImagePullBackOff"}}}, False, f"{WHERE} is waiting to start: trying and failing to pull image"),
    ({"state": {}}, False, f"{WHERE} is waiting to start - no logs yet"),
])  # fmt: skip
def test_which_run_a_log_is_of(status: Object | None, previous: bool, outcome: str) -> None:
    subject = pod(containerStatuses=[status | {"name": "c"}] if status is not None else [])
    try:
        assert logged_container(subject, "c", previous) == outcome
    except ApiError as error:
        assert (error.code, error.message) == (400, outcome)


async def test_requests_are_counted_out_when_their_client_left_before_the_answer() -> None:
    async with fake_runtime() as runtime:
        access = Access(Reviewer({"good": "admin"}, ADMIN), "n", lambda: 0.0)  # type: ignore[arg-type]
        server = NodeServer(FakeNode(runtime), access, lambda: NOW, {})
        headers = {k.lower(): v for k, v in (request_headers([V5]) | TOKEN).items()}
        response = await server.handle(Request("GET", "/exec/d/p/c?command=forever&output=1", headers))
        assert (response.status, server._streams) == (101, 1)
        assert response.discard is not None
        response.discard()
        assert server._streams == 0
        await runtime.idle.wait()
        await asyncio.sleep(0)
