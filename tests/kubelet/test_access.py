"""Attack 19 (CVE-2019-11248, CVE-2020-8551, CVE-2025-0426): the node's port without credentials, or in floods."""
from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.kubelet.fake_node import ADMIN, FakeNode, Reviewer
from tests.net.fake_runtime import FakeRuntime
from tiffin.kubelet.access import ALLOWED_LIFE, KEPT, REVIEWS, WAITING, Access
from tiffin.kubelet.streams import NodeServer
from tiffin.machinery.errors import ApiError
from tiffin.net.http import Request, Response
from tiffin.net.pki import ensure_pki

TOKEN = {"authorization": "Bearer good"}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def gate(**rights: set[tuple[str, str]]) -> tuple[Reviewer, Clock, Access]:
    reviewer, clock = Reviewer({"good": "admin", "poor": "viewer"}, rights or ADMIN), Clock()
    return reviewer, clock, Access(reviewer, "n", clock)  # type: ignore[arg-type]


def server(access: Access) -> NodeServer:
    async def metrics() -> Response:
        return Response(body=b"metrics")

    return NodeServer(FakeNode(FakeRuntime()), access, lambda: datetime.now(UTC), {"/metrics": metrics, "/stats/summary": metrics})


PATHS = ["/healthz", "/pods", "/metrics", "/stats/summary", "/logs/", "/run/d/p/c", "/exec/d/p/c?command=sh&output=1", "/attach/d/p/c",
         "/portForward/d/p", "/containerLogs/d/p/c", "/debug/pprof/", "/configz", "/", "//pods", "/pods/../metrics"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"authorization": "Bearer bad"}, 401), ({"authorization": "Basic Z29vZA=="}, 401),
                                                 ({"authorization": "Bearer poor"}, 403)])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_attack_19_nothing_without_credentials_and_rights(path: str, headers: dict[str, str], status: int, method: str) -> None:
    _, _, access = gate()
    assert (await server(access).handle(Request(method, path, headers))).status == status


async def test_what_is_allowed_is_answered_and_what_is_absent_is_not_there() -> None:
    _, _, access = gate()
    node = server(access)
    assert (await node.handle(Request("GET", "/healthz", TOKEN))).body == b"ok"
    assert (await node.handle(Request("GET", "/metrics", TOKEN))).body == b"metrics"
    assert b'"PodList"' in (await node.handle(Request("GET", "/pods", TOKEN))).body
    for path in ("/run/d/p/c", "/cri/x", "/debug/pprof/", "/logs/syslog"):
        assert (await node.handle(Request("GET", path, TOKEN))).status == 404


@pytest.mark.parametrize(("path", "needed"), [
    ("/metrics", ("get", "metrics")), ("/stats/summary", ("get", "stats")), ("/pods", ("get", "pods")), ("/pods", ("get", "proxy")),
    ("/containerLogs/d/p/c", ("get", "proxy")), ("/exec/d/p/c", ("create", "proxy")), ("/portForward/d/p", ("create", "proxy")),
])  # fmt: skip
async def test_the_right_that_a_path_needs(path: str, needed: tuple[str, str]) -> None:
    everything = {(v, s) for v in ("get", "create", "update") for s in ("proxy", "metrics", "stats", "pods", "log", "healthz")}
    _, _, access = gate(admin={needed})
    assert (await server(access).handle(Request("GET", path, TOKEN))).status != 403
    allowed_otherwise = everything - {needed, ("get", "proxy"), ("get", "pods")}
    _, _, access = gate(admin=allowed_otherwise)
    assert (await server(access).handle(Request("GET", path, TOKEN))).status == 403


async def test_to_read_is_not_to_run() -> None:
    """A monitoring account with get on nodes/proxy may not open an exec by a WebSocket, which is a GET."""
    _, _, access = gate(admin={("get", "proxy")})
    response = await server(access).handle(Request("GET", "/exec/d/p/c?command=sh&output=1", TOKEN))
    assert response.status == 403
    assert response.body == b"Forbidden (user=admin, verb=create, resource=nodes, subresource(s)=[proxy])"


async def test_decisions_are_kept_and_forgotten() -> None:
    reviewer, clock, access = gate()
    for _ in range(3):
        await access.check(Request("GET", "/", TOKEN), "get", ("proxy",))
    assert len(reviewer.reviews) == 2
    clock.now += ALLOWED_LIFE
    reviewer.rights = {}
    with pytest.raises(ApiError) as error:
        await access.check(Request("GET", "/", TOKEN), "get", ("proxy",))
    assert error.value.code == 403


async def test_what_is_kept_is_bounded() -> None:
    _, _, access = gate()
    for n in range(KEPT + 100):
        with pytest.raises(ApiError):
            await access.check(Request("GET", "/", {"authorization": f"Bearer {n}"}), "get", ("proxy",))
    assert len(access._callers._values) == KEPT
    with pytest.raises(ApiError) as error:
        await access.check(Request("GET", "/", {"authorization": "Bearer " + "x" * 20_000}), "get", ("proxy",))
    assert error.value.code == 401


@pytest.mark.parametrize("fault", [ConnectionError("down"), ApiError(500, "", "broken")])
async def test_when_in_doubt_nobody_gets_in(fault: Exception) -> None:
    reviewer, _, access = gate()
    reviewer.fault = fault
    assert (await server(access).handle(Request("GET", "/pods", TOKEN))).status == 503


async def test_attack_19_a_flood_of_tokens_does_not_become_a_flood_of_reviews() -> None:
    reviewer, _, access = gate()
    reviewer.hold = asyncio.Event()
    node = server(access)
    flood = [asyncio.ensure_future(node.handle(Request("GET", "/pods", {"authorization": f"Bearer {n}"}))) for n in range(500)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(reviewer.reviews) == REVIEWS
    assert sum(task.done() for task in flood) == 500 - WAITING
    reviewer.hold.set()
    statuses = [response.status for response in await asyncio.gather(*flood)]
    assert (statuses.count(429), statuses.count(401)) == (500 - WAITING, WAITING)


async def test_client_certificates(tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    def der(path: Path) -> bytes:
        return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)

    pki = ensure_pki(tmp_path, ["127.0.0.1"])
    reviewer, _, access = gate()
    caller = await access.check(Request("GET", "/", {}, peer_certificate=der(pki.client("x", "admin", ["g"]).certificate)), "get", ("proxy",))
    assert (caller.name, caller.groups) == ("admin", ("g", "system:authenticated"))
    assert reviewer.reviews[0]["spec"]["groups"] == ["g", "system:authenticated"]
    with pytest.raises(ApiError) as error:  # a serving certificate is no proof of who calls
        await access.check(Request("GET", "/", {}, peer_certificate=der(pki.server.certificate)), "get", ("proxy",))
    assert error.value.code == 401
