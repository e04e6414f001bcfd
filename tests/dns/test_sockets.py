"""The server behind real sockets on loopback: UDP, TCP with its limits, and what waits for others."""
from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest
import uvloop

from tests.dns.cluster import Cluster, endpoint, external, service, shown, slice
from tests.dns.upstream import Behaviour, answering, running
from tiffin.dns import forward, tcp, udp
from tiffin.dns.forward import Forwarder
from tiffin.dns.resolvers import Resolvers
from tiffin.dns.service import Service
from tiffin.dns.sources import Sources
from tiffin.dns.tcp import TcpServer
from tiffin.dns.udp import UdpServer

A = "www.example.com. 60 IN A 192.0.2.1"
API = "api.default.svc.cluster.local"
Query = dns.message.Message


class Served(Cluster):
    """`udp` and `tcp` are the ports."""

    udp = tcp = 0

    async def over_udp(self, *queries: Query | bytes) -> list[dns.message.Message]:
        """The answers in the order in which they arrive, one for each question."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as client:
            client.connect(("127.0.0.1", self.udp))
            for query in queries:
                client.send(query if isinstance(query, bytes) else query.to_wire())
            return [dns.message.from_wire(await loop.sock_recv(client, 65535)) for _ in queries]

    async def over_tcp(self, *queries: Query) -> list[dns.message.Message]:
        """On one connection, all sent before the first answer is read."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.tcp)
        writer.write(b"".join(framed(query.to_wire()) for query in queries))
        answers = [dns.message.from_wire(await read(reader)) for _ in queries]
        writer.close()
        return answers


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


async def read(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


def query(name: str, type: str = "A", **options: object) -> Query:
    return dns.message.make_query(name, type, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def served(tmp_path: Path, behave: Behaviour, *objects: dict, allow: bool = True) -> AsyncIterator[Served]:
    cluster = Served(service("api", "10.96.0.8"), *objects)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    sources = Sources(cluster.caches, "n1", ())
    if not allow:
        sources._ranges = []
    async with running(behave) as upstream:
        forwarder = Forwarder(Resolvers(tmp_path / "resolv.conf", (), cluster.clock.now, upstream.port), cluster.clock, cluster.metrics)
        service_ = Service(cluster.answers, cluster.records, forwarder, cluster.metrics)
        bound = udp.bind("127.0.0.1", 0)
        packets = UdpServer(bound, cluster.answers, service_, sources, cluster.metrics)
        packets.start()
        streams = TcpServer(service_, sources, cluster.metrics, cluster.clock)
        server = await asyncio.get_running_loop().create_server(streams, "127.0.0.1", 0)
        cluster.udp, cluster.tcp = bound.getsockname()[1], server.sockets[0].getsockname()[1]
        try:
            yield cluster
        finally:
            packets.close()
            streams.close()
            server.close()
            await service_.close()


async def test_over_udp(tmp_path: Path) -> None:
    async with served(tmp_path, answering(A)) as server:
        queries = [query(API), query(API), query("nope." + API), query("www.example.com"), query("www.example.com")]
        found = {message.id: shown(message) for message in await server.over_udp(*queries)}
        assert [found[q.id] for q in queries] == [
            ("NOERROR", ["A 10.96.0.8"]), ("NOERROR", ["A 10.96.0.8"]), ("NXDOMAIN", []), ("NOERROR", ["A 192.0.2.1"]), ("NOERROR", ["A 192.0.2.1"])]


def test_on_the_agents_own_event_loop(tmp_path: Path) -> None:
    async def ask() -> None:
        async with served(tmp_path, answering(A)) as server:
            for over in (server.over_udp, server.over_tcp):
                found = await over(query(API), query("www.example.com"))
                assert sorted(shown(message)[1] for message in found) == [["A 10.96.0.8"], ["A 192.0.2.1"]]

    uvloop.run(ask())


async def test_one_who_floods_is_refused_and_then_not_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "OF_ONE", 0)
    monkeypatch.setattr(forward, "REFUSALS", 5)
    async with served(tmp_path, answering(A)) as server:
        queries = [query(f"x{n}.example.com") for n in range(20)]
        assert {message.rcode() for message in await server.over_udp(*queries[:5])} == {dns.rcode.SERVFAIL}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as client:
            client.connect(("127.0.0.1", server.udp))
            for each in queries[5:]:
                client.send(each.to_wire())
            client.send(query(API).to_wire())
            first = dns.message.from_wire(await asyncio.get_running_loop().sock_recv(client, 1000))
            assert first.question[0].name.to_text(True) == API and server.metrics.dropped["overload"] == 20
        await server.clock.advance(1)
        assert (await server.over_udp(queries[5]))[0].rcode() == dns.rcode.SERVFAIL


async def test_rubbish_does_not_stop_it(tmp_path: Path) -> None:
    async with served(tmp_path, answering(A)) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for data in (b"", b"x", b"\0" * 12, b"\xff" * 600, query(API).to_wire()[:20]):
                client.sendto(data, ("127.0.0.1", server.udp))
        assert shown((await server.over_udp(query(API)))[0])[0] == "NOERROR"
        assert server.metrics.dropped["ignored"] == 3


async def test_a_fault_of_ours_costs_one_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path, answering(A)) as server:
        find = server.records.find

        def faulty(name: bytes, type: int):  # type: ignore[no-untyped-def]
            if type == 16:
                raise RuntimeError("a fault")
            return find(name, type)

        monkeypatch.setattr(server.records, "find", faulty)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(query(API, "TXT").to_wire(), ("127.0.0.1", server.udp))
        assert shown((await server.over_udp(query(API)))[0])[0] == "NOERROR"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await server.over_tcp(query(API, "TXT"))
        assert shown((await server.over_tcp(query(API)))[0])[0] == "NOERROR"
        assert caplog.text.count("was not answered") == 2


async def test_strangers_are_not_answered(tmp_path: Path) -> None:
    async with served(tmp_path, answering(A), allow=False) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as client:
            client.sendto(query(API).to_wire(), ("127.0.0.1", server.udp))
            while not server.metrics.dropped["source"]:
                await asyncio.sleep(0)
            with pytest.raises(BlockingIOError):
                client.recv(100)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await server.over_tcp(query(API))


async def test_an_alias_that_leads_away(tmp_path: Path) -> None:
    async with served(tmp_path, answering(A), external("away", "www.example.com")) as server:
        for _ in range(2):  # the second time from what was kept
            [found] = await server.over_udp(query("away.default.svc.cluster.local"))
            assert shown(found) == ("NOERROR", ["CNAME www.example.com.", "A 192.0.2.1"])
        assert not found.flags & dns.flags.AA


async def test_an_alias_of_what_does_not_exist(tmp_path: Path) -> None:
    async with served(tmp_path, answering(code="NXDOMAIN"), external("away", "gone.example.com")) as server:
        [found] = await server.over_udp(query("away.default.svc.cluster.local"))
        assert shown(found) == ("NXDOMAIN", ["CNAME gone.example.com."])


async def test_kept_answers_grow_older(tmp_path: Path) -> None:
    async with served(tmp_path, answering(A)) as server:
        await server.over_udp(query("www.example.com"))
        await server.clock.advance(25)
        [found] = await server.over_udp(query("WWW.example.com"))
        assert [rrset.ttl for rrset in found.answer] == [35] and found.question[0].name.to_text() == "WWW.example.com."
        assert server.metrics.cache == {"hit": 1, "miss": 1}


async def test_a_long_answer_of_others_is_cut(tmp_path: Path) -> None:
    records = [A.replace("192.0.2.1", f"192.0.2.{n}") for n in range(100)]
    async with served(tmp_path, answering(*records)) as server:
        [cut] = await server.over_udp(query("www.example.com"))
        assert cut.flags & dns.flags.TC and 20 < len(cut.answer[0]) < 32
        [whole] = await server.over_tcp(query("www.example.com"))
        assert len(whole.answer[0]) == 100


async def test_pipelining(tmp_path: Path) -> None:
    """More questions on one connection than it may have open, those that wait for others among them."""
    async with served(tmp_path, answering(A)) as server:
        queries = [query(f"x{n}.example.com" if n % 3 else API, id=n) for n in range(3 * tcp.OPEN_QUESTIONS)]
        found = {message.id: message.rcode() for message in await server.over_tcp(*queries)}
        assert found == dict.fromkeys(range(len(queries)), dns.rcode.NOERROR)


async def test_thousands_of_questions_wait_behind_slow_ones(tmp_path: Path) -> None:
    """What is at once answerable and waits is taken one after the other, however many there are."""
    async with served(tmp_path, answering(A)) as server:
        slow = [query(f"x{n}.example.com", id=n) for n in range(tcp.OPEN_QUESTIONS)]
        quick = [query(API, id=1000 + n) for n in range(2000)]
        found = await server.over_tcp(*slow, *quick)
        assert {message.id for message in found} == {*range(tcp.OPEN_QUESTIONS), *range(1000, 3000)}


async def test_a_question_in_pieces(tmp_path: Path) -> None:
    async with served(tmp_path, answering(A)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.tcp)
        for byte in framed(query(API).to_wire()):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert shown(dns.message.from_wire(await read(reader)))[0] == "NOERROR"
        writer.close()


async def test_whoever_says_nothing_is_cut_off(tmp_path: Path) -> None:
    async with served(tmp_path, answering(A)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.tcp)
        writer.write(framed(query(API).to_wire()) + b"\0\x40half a question")
        await read(reader)
        ending = asyncio.create_task(reader.read())
        await server.clock.advance(tcp.IDLE - 1)
        assert not ending.done()
        await server.clock.advance(2)
        try:
            assert await ending == b""
        except ConnectionResetError:
            pass  # the kernel's way to say so when something was not read
        writer.close()


async def test_so_many_connections_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "OF_ONE", 3)
    async with served(tmp_path, answering(A)) as server:
        opened = [await asyncio.open_connection("127.0.0.1", server.tcp) for _ in range(3)]
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await server.over_tcp(query(API))
        opened[0][1].close()
        await opened[0][1].wait_closed()
        while server.metrics.dropped["overload"] < 1:
            await asyncio.sleep(0)
        found = None
        while found is None:
            try:
                [found] = await server.over_tcp(query(API))
            except (ConnectionError, asyncio.IncompleteReadError):
                await asyncio.sleep(0)
        for _, writer in opened:
            writer.close()


async def test_whoever_takes_no_answers_is_not_read(tmp_path: Path) -> None:
    """The questions of one who does not read wait in the kernel, not here."""
    many = [service("web", "None"), slice("web-1", *(endpoint(f"10.{n // 250}.0.{n % 250}") for n in range(1000)), service="web")]
    async with served(tmp_path, answering(A), *many) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.tcp, limit=1024)
        asked = framed(query("web.default.svc.cluster.local").to_wire())
        writer.write(asked * 20000)
        for _ in range(200):
            await asyncio.sleep(0.001)
        answered = sum(count for (count,) in server.metrics._requests.values())
        assert answered < 5000
        writer.transport.abort()


async def test_metrics(tmp_path: Path) -> None:
    async with served(tmp_path, answering(A)) as server:
        await server.over_udp(query(API), query(API), query("www.example.com", "TYPE4711"), query(API, "ANY"))
        await server.over_tcp(query("nope." + API, "SRV"))
        lines = server.metrics.text().splitlines()
        assert 'tiffin_dns_requests_total{proto="udp",type="A",rcode="NOERROR",zone="cluster"} 2' in lines
        assert 'tiffin_dns_requests_total{proto="udp",type="other",rcode="NOERROR",zone="other"} 1' in lines
        assert 'tiffin_dns_requests_total{proto="udp",type="ANY",rcode="REFUSED",zone="other"} 1' in lines
        assert 'tiffin_dns_requests_total{proto="tcp",type="SRV",rcode="NXDOMAIN",zone="cluster"} 1' in lines
        assert 'tiffin_dns_upstream_total{result="answered"} 1' in lines
        from prometheus_client.parser import text_string_to_metric_families
        assert len(list(text_string_to_metric_families(server.metrics.text()))) == 5
