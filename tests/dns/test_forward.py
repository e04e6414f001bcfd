"""Questions for others: asked once, kept, sent to the next when one fails, bounded. Real packets on loopback, time moved by hand."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.flags
import dns.message
import pytest

from tests.dns.upstream import Behaviour, answering, running
from tiffin.dns import forward
from tiffin.dns.forward import Forwarder
from tiffin.dns.message import Message
from tiffin.dns.metrics import Metrics
from tiffin.dns.resolvers import Resolvers
from tiffin.dns.wire import Question, encode_name
from tiffin.runtime.clock import FakeClock

A = "www.example.com. 60 IN A 192.0.2.1"
QUESTION = Question(encode_name("www.example.com"), 1, 1)
POD = "10.244.0.5"


def silent(query: dns.message.Message, stream: bool) -> list[bytes]:
    return []


class Setting:
    def __init__(self, file: Path, port: int, *addresses: str) -> None:
        file.write_text("".join(f"nameserver {address}\n" for address in addresses or ["127.0.0.1"]))
        self.file, self.clock, self.metrics = file, FakeClock(), Metrics()
        self.forwarder = Forwarder(Resolvers(file, ("10.96.0.10",), self.clock.now, port), self.clock, self.metrics)

    async def ask(self, question: Question = QUESTION, source: str = POD) -> Message:
        """Over real sockets, while time passes whenever nothing else happens."""
        asking = asyncio.create_task(self.forwarder.ask(question, source))
        while not asking.done():
            await asyncio.wait([asking], timeout=0.05)
            if not asking.done():
                await self.clock.advance(0.5)
        return asking.result()


@asynccontextmanager
async def forwarding(tmp_path: Path, port: int, *addresses: str) -> AsyncIterator[Setting]:
    setting = Setting(tmp_path / "resolv.conf", port, *addresses)
    try:
        yield setting
    finally:
        await setting.forwarder.close()


async def test_an_answer(tmp_path: Path) -> None:
    async with running(answering(A)) as upstream, forwarding(tmp_path, upstream.port) as setting:
        found = await setting.ask()
        assert (found.code, [record.rdata for record in found.answers]) == (0, [b"\xc0\0\2\1"])
        kept = setting.forwarder.kept(QUESTION._replace(name=QUESTION.name.upper()))
        assert kept and kept[0] == found and upstream.asked == ["www.example.com A"]
        await setting.clock.advance(60)
        assert setting.forwarder.kept(QUESTION) is None


async def test_the_same_question_is_sent_once(tmp_path: Path) -> None:
    async with running(answering(A)) as upstream, forwarding(tmp_path, upstream.port) as setting:
        found = await asyncio.gather(*(setting.forwarder.ask(QUESTION, f"10.244.0.{n}") for n in range(20)))
        assert len(upstream.asked) == 1 and all(message.code == 0 for message in found)


@pytest.mark.parametrize("first", [silent, answering(code="SERVFAIL"), answering(code="REFUSED"), lambda query, stream: [query.to_wire()[:2] + b"\x81\x80\0"]],
                         ids=["silent", "failing", "refusing", "babbling"])
async def test_the_next_server_is_asked(tmp_path: Path, first: Behaviour) -> None:
    async with (
        running(first, "127.0.0.2") as broken, running(answering(A), "127.0.0.3", broken.port) as works,
        forwarding(tmp_path, broken.port, "127.0.0.2", "127.0.0.3") as setting,
    ):
        assert (await setting.ask()).code == 0
        assert broken.asked == works.asked == ["www.example.com A"]


async def test_nobody_listens(tmp_path: Path) -> None:
    async with running(answering(A), "127.0.0.3") as works, forwarding(tmp_path, works.port, "127.0.0.2", "127.0.0.3") as setting:
        assert (await setting.forwarder.ask(QUESTION, POD)).code == 0  # at once: refused connections take no time
        assert setting.metrics.upstream == {"answered": 1, "failed": 1, "timeout": 0}


async def test_a_silent_server_is_passed_over_next_time(tmp_path: Path) -> None:
    async with (
        running(silent, "127.0.0.2") as broken, running(answering(), "127.0.0.3", broken.port) as works,
        forwarding(tmp_path, broken.port, "127.0.0.2", "127.0.0.3") as setting,
    ):
        await setting.ask()
        await setting.ask()
        assert len(broken.asked) == 1 and len(works.asked) == 2


async def test_nobody_answers(tmp_path: Path) -> None:
    async with running(silent) as upstream, forwarding(tmp_path, upstream.port) as setting:
        assert (await setting.ask()).code == 2
        assert len(upstream.asked) == 3 and setting.metrics.upstream["timeout"] == 3
        assert setting.forwarder.kept(QUESTION) is None


async def test_no_servers(tmp_path: Path) -> None:
    async with forwarding(tmp_path, 53, "10.96.0.10") as setting:
        assert (await setting.forwarder.ask(QUESTION, POD)).code == 2


async def test_a_cut_answer_is_asked_for_over_tcp(tmp_path: Path) -> None:
    def cut(query: dns.message.Message, stream: bool) -> list[bytes]:
        return answering(A)(query, stream) if stream else answering(flags=dns.flags.TC)(query, stream)

    async with running(cut) as upstream, forwarding(tmp_path, upstream.port) as setting:
        assert len((await setting.ask()).answers) == 1
        assert upstream.asked == ["www.example.com A", "www.example.com A tcp"]


async def test_a_server_without_edns(tmp_path: Path) -> None:
    def old(query: dns.message.Message, stream: bool) -> list[bytes]:
        return answering(A)(query, stream) if query.edns < 0 else answering(code="FORMERR")(query, stream)

    async with running(old) as upstream, forwarding(tmp_path, upstream.port) as setting:
        assert (await setting.ask()).code == 0


async def test_lies_are_passed_over(tmp_path: Path) -> None:
    def forged(query: dns.message.Message, stream: bool) -> list[bytes]:
        true = answering(A)(query, stream)[0]
        lie = answering("www.example.com. 60 IN A 203.0.113.66")
        other = dns.message.make_query("www.examp1e.com", "A", id=query.id)
        return [(query.id ^ 1).to_bytes(2, "big") + lie(query, stream)[0][2:], lie(other, stream)[0], b"", query.to_wire(), true]

    async with running(forged) as upstream, forwarding(tmp_path, upstream.port) as setting:
        assert [record.rdata for record in (await setting.ask()).answers] == [b"\xc0\0\2\1"]


async def test_names_that_do_not_exist_are_kept_too(tmp_path: Path) -> None:
    soa = "example.com. 100 IN SOA ns.example.com. root.example.com. 1 2 3 4 20"
    async with running(answering(code="NXDOMAIN", authority=(soa,))) as upstream, forwarding(tmp_path, upstream.port) as setting:
        assert (await setting.ask()).code == 3
        assert setting.forwarder.kept(QUESTION)
        await setting.clock.advance(20)
        assert not setting.forwarder.kept(QUESTION)


async def test_one_asker_takes_no_more_than_a_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "ON_THE_WAY", 8)
    monkeypatch.setattr(forward, "OF_ONE", 4)
    async with running(silent) as upstream, forwarding(tmp_path, upstream.port) as setting:
        questions = [Question(encode_name(f"x{n}.example.com"), 1, 1) for n in range(20)]
        asking = [asyncio.create_task(setting.forwarder.ask(question, POD)) for question in questions]
        await asyncio.sleep(0.02)
        assert [task.done() for task in asking] == [False] * 4 + [True] * 16
        assert all(task.result().code == 2 for task in asking[4:])
        others = [asyncio.create_task(setting.forwarder.ask(Question(encode_name(f"y{n}.example.com"), 1, 1), f"10.244.0.{n}")) for n in range(20)]
        await asyncio.sleep(0.02)
        assert sum(not task.done() for task in others) == 4
        assert not setting.forwarder.has_room(QUESTION, POD) and not setting.forwarder.has_room(QUESTION, "10.244.0.77")
        assert setting.forwarder.has_room(Question(encode_name("Y0.example.com"), 1, 1), "10.244.0.77")  # somebody asks that already
        for task in (*asking, *others):
            task.cancel()
        await asyncio.gather(*asking, *others, return_exceptions=True)
        assert not setting.forwarder._waiting


async def test_a_loop_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The resolver sends what it is asked straight back to us."""
    probes: list[Question] = []

    def back(query: dns.message.Message, stream: bool) -> list[bytes]:
        if query.question[0].rdtype == dns.rdatatype.HINFO:
            probes.append(Question(query.question[0].name.to_wire(), 13, 1))
        return answering(A)(query, stream)

    async with running(back) as upstream, forwarding(tmp_path, upstream.port) as setting:
        assert (await setting.ask()).code == 0
        while not probes:
            await asyncio.sleep(0.001)
        assert (await setting.ask(probes[0])).code == 2
        assert (await setting.ask(QUESTION._replace(type=28))).code == 2
        assert "ask the cluster's DNS again" in caplog.text
        setting.file.write_text("nameserver 127.0.0.1\nnameserver 127.0.0.9\n")
        assert (await setting.ask(QUESTION._replace(type=28))).code == 0
