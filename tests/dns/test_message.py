"""Answers of other name servers, as dnspython writes them; and hostile ones."""
from __future__ import annotations

import dns.message
import dns.name
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.dns import message
from tiffin.dns.encoding import encode
from tiffin.dns.message import parse
from tiffin.dns.wire import MAX_MESSAGE, Answer, Malformed, Query, Question, Rcode, encode_name

RECORDS = [
    ("www.example.com.", "CNAME", "web.example.com."), ("web.example.com.", "A", "192.0.2.1"), ("web.example.com.", "AAAA", "2001:db8::1"),
    ("example.com.", "MX", "10 mail.example.com."), ("example.com.", "NS", "ns.example.com."), ("example.com.", "TXT", '"some text" "and more"'),
    ("example.com.", "SOA", "ns.example.com. root.example.com. 1 2 3 4 5"), ("_x._tcp.example.com.", "SRV", "1 2 3 web.example.com."),
    ("1.2.0.192.in-addr.arpa.", "PTR", "web.example.com."), ("example.com.", "CAA", '0 issue "ca.example.com"'), ("example.com.", "DNAME", "example.org."),
    ("example.com.", "HTTPS", "1 . alpn=h2"), ("example.com.", "RP", "a.example.com. b.example.com."), ("example.com.", "NAPTR", '1 2 "S" "x" "" web.example.com.'),
]


def response(records: list[tuple[str, str, str]], ttl: int = 60) -> dns.message.Message:
    made = dns.message.make_response(dns.message.make_query("www.example.com", "A", id=9), recursion_available=True)
    made.answer = [dns.rrset.from_text(name, ttl, "IN", type, data) for name, type, data in records]
    return made


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(RECORDS), unique=True, max_size=8), st.integers(0, 2**31 - 1))
def test_read_and_written_again(records: list[tuple[str, str, str]], ttl: int) -> None:
    """Compressed by dnspython, decompressed here, compressed here, read by dnspython: the same."""
    made = response(records, ttl)
    found = parse(made.to_wire())
    query = Query(9, 0x0100, Question(encode_name("www.example.com"), 1, 1))
    again = encode(query, Answer(Rcode(found.code), found.answers, found.authority, found.additional, authoritative=False), MAX_MESSAGE)
    written = again.message(b"\0\11", query.question.wire, 0)
    assert dns.message.from_wire(written) == made
    assert len(written) <= len(made.to_wire()) + 40


def test_names_are_compressed_as_well_as_dnspython_does_it() -> None:
    made = response(RECORDS[:6])
    found = parse(made.to_wire())
    query = Query(9, 0x0100, Question(encode_name("www.example.com"), 1, 1))
    written = encode(query, Answer(Rcode.NOERROR, found.answers), MAX_MESSAGE)
    # the exchange's name is the one that is not compressed here
    assert len(written.message(b"\0\11", query.question.wire, 0)) <= len(made.to_wire()) + len(b"\7example\3com\0")


def test_edns_and_other_classes_are_left_out() -> None:
    made = response(RECORDS[:2])
    made.use_edns(0, 0, 1232)
    made.additional = [dns.rrset.from_text("version.bind.", 0, "CH", "TXT", '"9"')]
    found = parse(made.to_wire())
    assert len(found.answers) == 2 and found.additional == ()


def test_a_ttl_of_more_than_68_years_is_none() -> None:
    data = bytearray(response(RECORDS[1:2]).to_wire())
    at = data.index((60).to_bytes(4, "big"))
    data[at] = 0x80
    assert parse(bytes(data)).answers[0].ttl == 0


HEADER = b"\0\1\x81\x80\0\0\0\1\0\0\0\0"
FIXED = b"\0\1\0\1\0\0\0\5\0\4"


@pytest.mark.parametrize("data", [
    b"", b"\0" * 11, HEADER, HEADER + b"\1a", HEADER + b"\1a\0" + FIXED, HEADER + b"\1a\0" + FIXED + b"abc",
    HEADER + b"\xc0\x0c" + FIXED + b"abcd", HEADER + b"\xc0\x0e" + FIXED + b"abcd", HEADER + b"\1a\xc0\x0c" + FIXED + b"abcd",
    HEADER + b"\xc0\x00" + FIXED + b"abcd", HEADER + b"\xc0", HEADER + b"\x40a\0" + FIXED + b"abcd", HEADER + b"\xff\xff" + FIXED + b"abcd",
    HEADER + b"\0\0\5\0\1\0\0\0\5\0\2\1a\0", HEADER + (b"\x3f" + b"a" * 63) * 4 + b"\0" + FIXED + b"abcd",
])
def test_broken_messages(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 200), st.binary(max_size=6))
def test_whatever_comes(noise: bytes, at: int, patch: bytes) -> None:
    whole = response(RECORDS).to_wire()
    for data in (noise, HEADER + noise, whole[:at] + patch + whole[at + len(patch):], whole[:at]):
        try:
            found = parse(data)
        except Malformed:
            continue
        encode(Query(9, 0, Question(b"\0", 1, 1)), Answer(Rcode.NOERROR, found.answers, found.authority, found.additional), MAX_MESSAGE)


def test_whose_answer_it_is() -> None:
    question = Question(b"\3wWw\7example\3com\0", 1, 1)
    data = response(RECORDS[1:2]).to_wire()
    assert message.answers_to(data, 9, question)
    assert not message.answers_to(data, 8, question)
    assert not message.answers_to(data, 9, question._replace(type=28))
    assert not message.answers_to(data, 9, question._replace(name=b"\3ftp\7example\3com\0"))
    assert not message.answers_to(data[:2] + b"\1\0" + data[4:], 9, question)
    assert not message.answers_to(data[:11], 9, question)
    assert message.answers_to(b"\0\11\x81\x82" + b"\0" * 8, 9, question) and not message.answers_to(b"\0\11\x81\x80" + b"\0" * 8, 9, question)


def test_a_question_as_it_is_sent_on() -> None:
    sent = dns.message.from_wire(message.encode_question(77, Question(encode_name("example.com"), 28, 1), 0x0110, edns=True))
    assert sent == dns.message.make_query("example.com", "AAAA", id=77, flags=0x0110, use_edns=0, payload=1232)
    assert dns.message.from_wire(message.encode_question(77, Question(encode_name("example.com"), 28, 1), 0x0100, edns=False)).edns < 0
