from __future__ import annotations

import asyncio
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.net.pipes import pipe
from tiffin.net import spdy_frames as frames
from tiffin.net.spdy import MAX_REFUSED, MAX_STREAMS, Data, Finished, GoneAway, Opened, Pong, Replied, Reset, Role, Session
from tiffin.net.spdy_connection import HIGH, SpdyConnection
from tiffin.net.spdy_frames import HeaderDecoder, HeaderEncoder, SpdyError

HEADERS = [("streamtype", "data"), ("port", "80"), ("twice", "a"), ("twice", "b")]


def test_the_dictionary_is_the_one_of_the_draft() -> None:
    dictionary = frames._dictionary()
    assert (len(dictionary), zlib.adler32(dictionary)) == (1423, 0xE3C6A7C2)


BYTES = {
    "SYN_STREAM": (frames.syn_stream(1, b"block", True), "8003 0001 01 00000f 00000001 00000000 0000 626c6f636b"),
    "SYN_REPLY": (frames.syn_reply(2, b"block", False), "8003 0002 00 000009 00000002 626c6f636b"),
    "RST_STREAM": (frames.rst_stream(3, 5), "8003 0003 00 000008 00000003 00000005"),
    "PING": (frames.ping(7), "8003 0006 00 000004 00000007"),
    "GOAWAY": (frames.go_away(9, 1), "8003 0007 00 000008 00000009 00000001"),
    "DATA": (frames.data_frame(5, b"hi", False), "00000005 00 000002 6869"),
    "DATA with FIN": (frames.data_frame(5, b"", True), "00000005 01 000000"),
}


@pytest.mark.parametrize("name", BYTES)
def test_frames_byte_by_byte(name: str) -> None:
    encoded, expected = BYTES[name]
    assert encoded == bytes.fromhex(expected)


def test_header_blocks_keep_their_compression_from_one_to_the_next() -> None:
    encoder, decoder = HeaderEncoder(), HeaderDecoder()
    first, second = encoder.encode(HEADERS), encoder.encode(HEADERS)
    assert len(second) < len(first)
    assert decoder.decode(first) == decoder.decode(second) == HEADERS


@given(st.lists(st.tuples(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), st.text(st.characters(blacklist_characters="\0", codec="utf-8"))), max_size=8))
def test_header_blocks_return_what_went_in(headers: list[tuple[str, str]]) -> None:
    assert sorted(HeaderDecoder().decode(HeaderEncoder().encode(headers))) == sorted(headers)


def pair() -> tuple[Session, Session]:
    return Session(Role.CLIENT), Session(Role.SERVER)


def test_the_life_of_a_stream() -> None:
    client, server = pair()
    stream = client.open(HEADERS)
    assert server.receive(client.output()) == [Opened(1, HEADERS)]
    server.reply(stream)
    server.send(stream, b"hello")
    server.finish(stream)
    assert client.receive(server.output()) == [Replied(1, []), Data(1, b"hello"), Finished(1)]
    client.send(stream, b"bye")
    client.finish(stream)
    assert server.receive(client.output()) == [Data(1, b"bye"), Finished(1)]
    assert not client.alive(stream)
    assert not server.alive(stream)
    assert client.open([]) == 3


def test_the_server_opens_even_streams() -> None:
    client, server = pair()
    assert server.open(HEADERS) == 2
    assert client.receive(server.output()) == [Opened(2, HEADERS)]


def test_resets_pings_and_farewells() -> None:
    client, server = pair()
    stream = client.open([])
    server.receive(client.output())
    server.reset(stream)
    client.send(stream, b"late")
    late = client.output()
    assert client.receive(server.output()) == [Reset(1, 5)]
    assert server.receive(late) == [], "the client could not know"
    id = client.ping()
    assert server.receive(client.output()) == []
    assert client.receive(server.output()) == [Pong(id)]
    server.go_away()
    assert client.receive(server.output()) == [GoneAway(0)]
    with pytest.raises(SpdyError):
        client.open([])


def test_flow_control_and_settings_are_read_and_have_no_effect() -> None:
    client, server = pair()
    client.open([])
    server.receive(client.output())
    settings = frames.control(frames.Type.SETTINGS, 0, bytes.fromhex("00000001 00000007 00010000"))
    window = frames.control(frames.Type.WINDOW_UPDATE, 0, bytes.fromhex("00000001 00000100"))
    unknown = frames.control(99, 0, b"xyz")  # type: ignore[arg-type]
    assert server.receive(settings + window + unknown) == []


def join(events: list) -> list:
    """Neighbouring pieces of data as one."""
    joined: list = []
    for event in events:
        if isinstance(event, Data) and joined and isinstance(joined[-1], Data) and joined[-1].stream == event.stream:
            event = Data(event.stream, joined.pop().data + event.data)
        joined.append(event)
    return joined


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=300)), max_size=12), st.lists(st.integers(1, 40), min_size=1, max_size=200))
def test_chunks_do_not_matter(script: list[tuple[int, bytes]], cuts: list[int]) -> None:
    client, server = pair()
    streams = [client.open([("n", str(n))]) for n in range(4)]
    for index, data in script:
        client.send(streams[index], data)
    for stream in streams:
        client.finish(stream)
    sent = client.output()
    whole = join(server.receive(sent))
    piecewise, other, at = [], Session(Role.SERVER), 0
    for cut in cuts * (len(sent) // sum(cuts) + 1):
        piecewise += other.receive(sent[at : at + cut])
        at += cut
    assert join(piecewise) == whole


FAULTS = {
    "another version": "8002 0001 00 000000",
    "a giant control frame": "8003 0001 00 ffffff",
    "data for stream 0": "00000000 00 000000",
    "data for a stream never opened": "00000005 00 000001 61",
    "a reply to a stream never opened": "8003 0002 00 000004 00000001",
    "a reset of stream 0": "8003 0003 00 000008 00000000 00000001",
    "a reset that is too short": "8003 0003 00 000004 00000001",
    "a ping that is too long": "8003 0006 00 000008 00000001 00000001",
    "settings of a wrong length": "8003 0004 00 000008 00000002 00000001",
    "headers that are not zlib": "8003 0001 00 00000e 00000001 00000000 0000 ffffffff",
    "a stream number of the other side": "8003 0001 00 00000a 00000002 00000000 0000",
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_end_the_session(name: str) -> None:
    session = Session(Role.SERVER)
    with pytest.raises(SpdyError):
        session.receive(bytes.fromhex(FAULTS[name]))
    assert session.output() == frames.go_away(0, 1)
    with pytest.raises(SpdyError):
        session.receive(b"")


def test_a_header_block_cannot_grow_without_bounds() -> None:
    block = HeaderEncoder().encode([("a", "x" * 10_000_000)])
    assert len(block) < frames.MAX_CONTROL
    with pytest.raises(SpdyError):
        Session(Role.SERVER).receive(frames.syn_stream(1, block, False))


def test_attack_11_streams_reset_without_end_free_nothing() -> None:
    client, server = pair()
    events = []
    with pytest.raises(SpdyError):
        for _ in range(MAX_STREAMS + MAX_REFUSED + 1):
            client.reset(client.open([]))
            events += server.receive(client.output())
    assert sum(isinstance(e, Opened) for e in events) == MAX_STREAMS


def test_streams_that_were_released_make_room() -> None:
    client, server = pair()
    for _ in range(2 * MAX_STREAMS):
        stream = client.open([])
        client.reset(stream)
        assert isinstance(server.receive(client.output())[0], Opened)
        server.release(stream)


@settings(max_examples=300)
@given(st.lists(st.one_of(
    st.binary(max_size=40),
    st.builds(lambda type, flags, payload: frames.control(type, flags, payload), st.integers(0, 11), st.integers(0, 3), st.binary(max_size=24)),
    st.builds(lambda stream, data, fin: frames.data_frame(stream, data, fin), st.integers(0, 9), st.binary(max_size=9), st.booleans()),
    st.builds(lambda stream, fin: frames.syn_stream(stream, HeaderEncoder().encode([("a", "b")]), fin), st.integers(0, 9), st.booleans()),
), max_size=12))  # fmt: skip
def test_garbage_raises_one_kind_of_error(parts: list[bytes]) -> None:
    session = Session(Role.SERVER)
    try:
        for part in parts:
            for event in session.receive(part):
                if isinstance(event, Opened):
                    session.reply(event.stream)
                    session.finish(event.stream)
    except SpdyError:
        pass


# ---- over a connection


async def echo(end: object) -> None:
    """Answers every stream with what comes on it; refuses those that ask for it."""
    async with SpdyConnection(end, Role.SERVER) as spdy:  # type: ignore[arg-type]
        while (stream := await spdy.accept()) is not None:
            if stream.headers.get("refuse"):
                stream.reset()
                continue
            stream.reply()
            while data := await stream.read():
                stream.write(data)
                await stream.drain()
            stream.close()


async def test_streams_over_a_connection() -> None:
    a, b = pipe()
    server = asyncio.ensure_future(echo(b))
    async with SpdyConnection(a, Role.CLIENT) as spdy:
        for _ in range(200):
            stream = await spdy.open(HEADERS)
            stream.write(b"hello")
            stream.finish()
            assert await stream.read_all(100) == b"hello"
        assert len(spdy._streams) < 100
        with pytest.raises(SpdyError):
            await spdy.open([("refuse", "1")])
    await server
    assert a.closed
    assert b.closed


async def test_who_does_not_read_holds_the_sender() -> None:
    a, b = pipe()
    async with SpdyConnection(a, Role.CLIENT) as client, SpdyConnection(b, Role.SERVER) as server:
        opening = asyncio.ensure_future(client.open([]))
        stream = await server.accept()
        assert stream is not None
        stream.reply()
        mine = await opening
        total = 40 * HIGH

        async def send() -> None:
            for _ in range(total // 65536):
                mine.write(b"x" * 65536)
                await mine.drain()
            mine.finish()

        sending = asyncio.ensure_future(send())
        for _ in range(300):
            await asyncio.sleep(0)
        assert not sending.done()
        assert len(await stream.read_all(1 << 30)) == total
        await sending


async def test_a_lost_connection_ends_streams_and_refuses_new_ones() -> None:
    a, b = pipe()
    async with SpdyConnection(a, Role.CLIENT) as client:
        opening = asyncio.ensure_future(client.open([]))
        await asyncio.sleep(0)
        b.close()
        with pytest.raises(ConnectionError):
            await opening
        assert await client.accept() is None
        await client.wait_closed()


async def test_garbage_on_a_connection_closes_it() -> None:
    a, b = pipe()
    async with SpdyConnection(a, Role.SERVER) as server:
        b.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await server.accept() is None
        assert a.closed
