"""How long answers of others are kept. RFC 2308."""
from __future__ import annotations

import dns.message
import dns.rrset
import pytest

from tiffin.dns.kept import KeptAnswers, lifetime
from tiffin.dns.message import Message, parse
from tiffin.runtime.clock import FakeClock

ASKED = (b"\3www\7example\3com\0", 1)


def message(answers: list[str], authority: list[str] = [], code: int = 0, flags: int = 0x8180) -> Message:  # noqa: B006
    made = dns.message.make_response(dns.message.make_query("www.example.com", "A"))
    made.flags = flags
    made.set_rcode(code)
    made.answer, made.authority = ([dns.rrset.from_text(*line.split(" ", 4)) for line in lines] for lines in (answers, authority))
    return parse(made.to_wire())


A, ALIAS = "web.example.com. 60 IN A 192.0.2.1", "www.example.com. 30 IN CNAME web.example.com."
SOA = "example.com. {} IN SOA ns.example.com. root.example.com. 1 2 3 4 {}"


@pytest.mark.parametrize(("found", "type", "seconds"), [
    (message([A]), 1, 60),
    (message([ALIAS, A]), 1, 30),
    (message([A.replace("60", "0")]), 1, 0),
    (message([A.replace("60", "1000000")]), 1, 3600),
    (message([A], [SOA.format(20, 5)]), 1, 20),
    (message([], [SOA.format(100, 40)]), 1, 40),
    (message([], [SOA.format(10, 40)]), 1, 10),
    (message([], [SOA.format(9000, 9000)], 3), 1, 300),
    (message([ALIAS], [SOA.format(100, 40)], 3), 1, 30),
    (message([ALIAS], [SOA.format(100, 40)]), 1, 30),
    (message([ALIAS]), 5, 30),
    (message([ALIAS]), 1, 0),
    (message([]), 1, 0),
    (message([], [], 3), 1, 0),
    (message([], [], 2), 1, 1),
    (message([A], [], 5), 1, 0),
    (message([A], flags=0x8380), 1, 0),
])
def test_lifetime(found: Message, type: int, seconds: int) -> None:
    assert lifetime(found, type) == seconds


async def test_given_out_until_its_end_and_not_after() -> None:
    clock = FakeClock()
    kept = KeptAnswers(clock.now)
    kept.put(ASKED, message([A]), b"bytes")
    await clock.advance(59.5)
    assert kept.get(ASKED) == (b"bytes", 59) and kept.get((ASKED[0], 28)) is None
    await clock.advance(0.5)
    assert kept.get(ASKED) is None and kept._size == 0


async def test_a_newer_answer_takes_its_place() -> None:
    clock = FakeClock()
    kept = KeptAnswers(clock.now)
    kept.put(ASKED, message([A]), b"old")
    kept.put(ASKED, message([A]), b"newer")
    assert kept.get(ASKED) == (b"newer", 0)
    kept.put(ASKED, message([]), b"none")
    assert kept.get(ASKED) is None and kept._size == 0


def test_the_one_not_asked_for_longest_goes_first() -> None:
    kept = KeptAnswers(FakeClock().now, limit=3 * 500)
    for name in (b"a", b"b", b"c"):
        kept.put((name, 1), message([A]), name * 100)
    kept.get((b"a", 1))
    kept.put((b"d", 1), message([A]), b"d" * 100)
    assert [name for name in (b"a", b"b", b"c", b"d") if kept.get((name, 1))] == [b"a", b"c", b"d"]


def test_no_time_is_lost_when_the_clock_is_set_back() -> None:
    moments = [1000.0]
    from datetime import UTC, datetime
    kept = KeptAnswers(lambda: datetime.fromtimestamp(moments[0], UTC))
    kept.put(ASKED, message([A]), b"bytes")
    moments[0] = 10.0
    assert kept.get(ASKED) is None
