"""Packets in: read as dnspython wrote them, and never anything but an answer or silence to whatever else comes."""
from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dns.cluster import Cluster, endpoint, service, slice
from tiffin.dns import wire
from tiffin.dns.answers import Elsewhere
from tiffin.dns.wire import Ignored, Malformed

NAME = "api.default.svc.cluster.local"
QUERY = dns.message.make_query(NAME, "A", id=0x1234).to_wire()


def cluster() -> Cluster:
    return Cluster(service("api", "10.96.1.1", ports=("http/TCP/80",)), service("web", "None"), slice("web", *(endpoint(f"10.244.0.{n}") for n in range(250))))


def test_a_question() -> None:
    data = dns.message.make_query(NAME, "SRV", id=7, payload=4096, want_dnssec=True).to_wire()
    query = wire.parse_query(data)
    assert (query.id, query.question.name, query.question.type, query.question.klass) == (7, wire.encode_name(NAME), 33, 1)
    assert query.edns == (4096, 0, True) and query.limit == wire.MAX_UDP
    assert query.flags & wire.RD


@pytest.mark.parametrize(("payload", "limit"), [(0, 512), (100, 512), (512, 512), (1000, 1000), (1232, 1232), (65535, 1232)])
def test_room_for_the_answer(payload: int, limit: int) -> None:
    assert wire.parse_query(dns.message.make_query(NAME, "A", use_edns=0, payload=payload).to_wire()).limit == limit


@pytest.mark.parametrize(("text", "expected"), [
    ("", b"\0"), (".", b"\0"), ("a", b"\1a\0"), ("A.b.", b"\1a\1b\0"), ("a" * 63, b"?" + b"a" * 63 + b"\0"),
])
def test_names(text: str, expected: bytes) -> None:
    assert wire.encode_name(text) == expected
    assert wire.join(wire.labels_of(expected)) == expected


@pytest.mark.parametrize("text", ["a..b", "a" * 64, ".a", ".".join(["a" * 63] * 4)])
def test_no_names(text: str) -> None:
    with pytest.raises(ValueError):
        wire.encode_name(text)


@pytest.mark.parametrize("data", [b"", b"\0" * 11, b"\x12\x34\x80" + QUERY[3:], dns.message.make_response(dns.message.from_wire(QUERY)).to_wire()])
def test_silence(data: bytes) -> None:
    with pytest.raises(Ignored):
        wire.parse_query(data)


HEADER = b"\x12\x34\1\0\0\1\0\0\0\0\0"
OPT = b"\0\0\x29\4\xd0\0\0\0\0\0\0"


@pytest.mark.parametrize(("data", "code"), [
    (QUERY[:12], "FORMERR"),
    (QUERY[:-1], "FORMERR"),
    (QUERY + b"\0", "FORMERR"),
    (b"\x12\x34\1\0\0\2" + QUERY[6:], "FORMERR"),
    (b"\x12\x34\1\0\0\0" + QUERY[6:12], "FORMERR"),
    (b"\x12\x34\1\0\0\1\0\1\0\0\0\0" + QUERY[12:], "FORMERR"),
    (b"\x12\x34\1\0\0\1\0\0\0\1\0\0" + QUERY[12:], "FORMERR"),
    (b"\x12\x34\1\0\0\1\0\0\0\0\0\4" + QUERY[12:] + OPT * 4, "FORMERR"),
    (b"\x12\x34\1\0\0\1\0\0\0\0\0\2" + QUERY[12:] + OPT * 2, "FORMERR"),
    (b"\x12\x34\1\0\0\1\0\0\0\0\0\1" + QUERY[12:] + b"\1a" + OPT, "FORMERR"),
    (b"\x12\x34\1\0\0\1\0\0\0\0\0\1" + QUERY[12:] + OPT[:-1], "FORMERR"),
    (b"\x12\x34\1\0\0\1\0\0\0\0\0\1" + QUERY[12:] + OPT[:-2] + b"\0\7", "FORMERR"),
    (HEADER + b"\0\xc0\x0c\0\1\0\1", "FORMERR"),
    (HEADER + b"\0\x40a\0\0\1\0\1", "FORMERR"),
    (HEADER + b"\0" + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", "FORMERR"),
    (b"\x12\x34\1\0\0\1\0\0\0\0\0\1" + QUERY[12:] + b"\0\0\x29\4\xd0\0\1\0\0\0\0", "BADVERS"),
    (b"\x12\x34\x28\0" + QUERY[4:], "NOTIMP"),
    (b"\x12\x34\x10\0" + QUERY[4:], "NOTIMP"),
])
def test_refusals_of_what_cannot_be_read(data: bytes, code: str) -> None:
    with pytest.raises(Malformed):
        wire.parse_query(data)
    answer = cluster().packet(data)
    assert isinstance(answer, bytes) and len(answer) <= len(data)
    found = dns.message.from_wire(answer)
    assert dns.rcode.to_text(found.rcode()) == code and found.id == 0x1234 and found.flags & dns.flags.QR


@pytest.mark.parametrize(("type", "klass", "code"), [
    ("ANY", "IN", "REFUSED"), ("AXFR", "IN", "REFUSED"), ("IXFR", "IN", "REFUSED"), ("A", "CH", "REFUSED"), ("TXT", "CH", "REFUSED"),
    ("A", "ANY", "REFUSED"), ("A", "NONE", "REFUSED"), ("MAILB", "IN", "NOTIMP"), ("MAILA", "IN", "NOTIMP"), ("TYPE0", "IN", "FORMERR"),
])
def test_refusals_of_what_is_not_offered(type: str, klass: str, code: str) -> None:
    query = dns.message.Message(id=5)
    query.find_rrset(query.question, dns.name.from_text(NAME), dns.rdataclass.from_text(klass), dns.rdatatype.from_text(type), create=True, force_unique=True)
    answer = cluster().packet(query.to_wire())
    assert isinstance(answer, bytes) and len(answer) == len(query.to_wire())
    assert dns.rcode.to_text(dns.message.from_wire(answer).rcode()) == code


def test_only_one_question_is_read_and_the_rest_must_be_nothing() -> None:
    query = dns.message.make_query(NAME, "A", payload=1232)
    query.use_edns(0, 0, 1232, options=[dns.edns.GenericOption(10, b"01234567")])
    assert wire.parse_query(query.to_wire()).edns == (1232, 0, False)


BYTES = st.binary(max_size=80)
MUTATED = st.tuples(st.integers(0, len(QUERY)), st.integers(0, 3), BYTES).map(lambda t: QUERY[: t[0]] + t[2] + QUERY[t[0] + t[1]:])


@settings(max_examples=400, deadline=None)
@given(st.one_of(BYTES, MUTATED, BYTES.map(lambda tail: HEADER + b"\1" + tail), BYTES.map(lambda tail: HEADER + b"\0" + tail)))
def test_whatever_comes(data: bytes) -> None:
    """An answer that dnspython reads, no longer than its question unless it is one; or silence."""
    server = cluster()
    for stream in (False, True):
        try:
            answer = server.packet(data, stream)
        except Ignored:
            continue
        if isinstance(answer, Elsewhere):
            continue
        found = dns.message.from_wire(answer)
        assert found.id == int.from_bytes(data[:2], "big") and found.flags & dns.flags.QR
        if found.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            assert len(answer) <= len(data)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("abz-_09\0.é", min_size=1, max_size=8), max_size=6), st.sampled_from(["", "default.svc.", "web.default.svc.", "default.pod.", "10.in-addr.arpa"]),
    st.sampled_from(["A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "SOA", "NS", "TYPE65", "TYPE1234"]), st.one_of(st.none(), st.integers(0, 65535)),
)
def test_any_question(labels: list[str], parent: str, type: str, payload: int | None) -> None:
    server = cluster()
    inner = [label.encode() for label in labels]
    try:
        name = dns.name.Name([*inner, *(part.encode() for part in f"{parent}cluster.local".split(".") if part), b""])
    except dns.exception.DNSException:
        return
    query = dns.message.make_query(name, type, use_edns=0 if payload is not None else -1, payload=payload)
    for stream in (False, False, True):
        answer = server.packet(query.to_wire(), stream)
        if isinstance(answer, Elsewhere):
            return
        assert dns.message.from_wire(answer).question == query.question
        assert stream or len(answer) <= min(max(payload or 0, 512), 1232)
