from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.net.pipes import End, pipe
from tiffin.net import websocket
from tiffin.net.channels import PROTOCOLS, Channels
from tiffin.net.http import Request
from tiffin.net.websocket import HandshakeError, MessageTunnel, Piece, WebSocket


def frame(opcode: int, payload: bytes, final: bool = True, masked: bool = True) -> bytes:
    """A frame as a client sends it; the mask is a constant."""
    assert len(payload) < 65536
    size = struct.pack(">B", len(payload) | masked << 7) if len(payload) < 126 else struct.pack(">BH", 126 | masked << 7, len(payload))
    mask = b"\x11\x22\x33\x44"
    body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if masked else payload
    return bytes([final << 7 | opcode]) + size + (mask if masked else b"") + body


def handshake(**changes: str) -> Request:
    headers = {
        "connection": "keep-alive, Upgrade", "upgrade": "WebSocket", "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": "v9.odd, v5.channel.k8s.io, v4.channel.k8s.io",
    }  # fmt: skip
    return Request("GET", "/", headers | {k.replace("_", "-"): v for k, v in changes.items()})


def test_the_handshake_of_the_rfc() -> None:
    request = handshake()
    assert websocket.is_upgrade(request)
    assert websocket.choose(request, ("v4.channel.k8s.io", "v5.channel.k8s.io")) == "v5.channel.k8s.io"
    headers = websocket.answer_headers(request, "v5.channel.k8s.io")
    assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert headers["Sec-WebSocket-Protocol"] == "v5.channel.k8s.io"


def test_no_protocol_in_common() -> None:
    with pytest.raises(HandshakeError) as error:
        websocket.choose(handshake(sec_websocket_protocol="a, b"), ("c",))
    assert str(error.value) == "requested protocol(s) are not supported: [a b]; supports [c]"
    assert websocket.choose(handshake(sec_websocket_protocol=""), ("c",)) == ""


async def collect(socket: WebSocket) -> list[Piece]:
    pieces = []
    while (piece := await socket.receive()) is not None:
        pieces.append(piece)
    return pieces


@given(st.lists(st.integers(1, 30), min_size=1, max_size=80))
def test_messages_come_through_whatever_the_chunks(cuts: list[int]) -> None:
    sent = frame(2, b"\0hello ", final=False) + frame(9, b"ping") + frame(0, b"world") + frame(1, "\u00fc".encode()) + frame(8, b"\x03\xe8")

    async def scenario() -> None:
        a, b = pipe()
        receiving = asyncio.ensure_future(collect(WebSocket(a)))
        at = 0
        for cut in cuts * (len(sent) // sum(cuts) + 1):
            b.write(sent[at : at + cut])
            at += cut
            await asyncio.sleep(0)
        pieces = await receiving
        joined = b"".join(p.data.encode() if isinstance(p.data, str) else p.data for p in pieces)
        assert joined == b"\0hello world" + "\u00fc".encode()
        assert await b.read() == b"\x8a\x04ping\x88\x02\x03\xe8"

    asyncio.run(scenario())


@pytest.mark.parametrize(("sent", "code"), [
    (frame(2, b"x", masked=False), 1002),
    (b"\xf2\x81\x11\x22\x33\x44x", 1002),
    (frame(1, b"\xff\xff"), 1007),
    (frame(3, b""), 1002),
    (frame(9, b"x" * 200), 1002),
])  # fmt: skip
async def test_broken_frames_close_with_their_code(sent: bytes, code: int) -> None:
    a, b = pipe()
    b.write(sent)
    assert await WebSocket(a).receive() is None
    answer = await b.read()
    assert (answer[0], int.from_bytes(answer[2:4])) == (0x88, code)


async def test_a_lost_connection_is_the_end() -> None:
    a, b = pipe()
    socket = WebSocket(a)
    b.write(frame(2, b"half", final=False)[:3])
    b.close()
    assert await socket.receive() is None
    socket.write(b"nobody listens")
    socket.close()


async def test_what_is_written_after_the_close_is_dropped() -> None:
    a, b = pipe()
    socket = WebSocket(a)
    socket.close(websocket.NORMAL)
    socket.write(b"late")
    socket.close()
    assert await b.read() == b"\x88\x02\x03\xe8"


async def test_a_tunnel_is_made_of_binary_messages() -> None:
    a, b = pipe()
    near, far = MessageTunnel(WebSocket(a, client=True)), MessageTunnel(WebSocket(b))
    near.write(b"hello")
    assert await far.read(2) + await far.read() == b"hello"
    far.write(b"back")
    await far.drain()
    assert await near.read() == b"back"
    a.write(frame(1, b"text"))
    assert await far.read() == b""


def channels(end: End) -> Channels:
    return Channels(WebSocket(end), PROTOCOLS["v5.channel.k8s.io"])


async def test_pieces_of_a_message_stay_on_its_channel() -> None:
    a, b = pipe()
    b.write(frame(2, b"\0one", final=False) + frame(0, b"two") + frame(2, b"\4size") + frame(2, b"\0") + frame(2, b"\xff\0"))
    reader = channels(a)
    assert [await reader.receive() for _ in range(4)] == [(0, b"one"), (0, b"two"), (4, b"size"), (255, b"\0")]


async def test_base64_messages_are_bounded() -> None:
    a, b = pipe()
    reader = Channels(WebSocket(a), PROTOCOLS["v4.base64.channel.k8s.io"])
    receiving = asyncio.ensure_future(reader.receive())
    for _ in range(20):
        b.write(frame(1 if not _ else 0, b"0" * 60_000, final=False))
        await asyncio.sleep(0)
    assert await receiving is None
    assert (await b.read())[2:4] == b"\x03\xf1"
