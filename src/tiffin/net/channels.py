"""Kubernetes' channels over WebSocket: the first byte (or digit) of every message says which stream it belongs to.

Remote command (exec, attach) has the channels below; a port-forward has two a port, data and error. Protocol names and what
they change:

    ""  channel.k8s.io           binary; the error channel carries plain text, and nothing on success
    base64.channel.k8s.io        the same as text: a digit, then base64
    v4.channel.k8s.io            the error channel carries a Status as JSON
    v4.base64.channel.k8s.io
    v5.channel.k8s.io            and channel 255 closes the channel named in its one byte (KEP-4006)

Source: KEP-4006 and the behaviour of kubectl and the Python client.
"""
from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from tiffin.net.websocket import TOO_BIG, UNSUPPORTED, WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
MAX_TEXT = 1 << 20
"""Characters of one base64 message, which must be whole to be decoded."""
CHUNK = 32 * 1024


class ChannelProtocol(NamedTuple):
    """`status` tells whether the error channel carries a Status, `closes` whether channel 255 is there."""

    name: str
    base64: bool = False
    status: bool = False
    closes: bool = False


PROTOCOLS = {
    p.name: p
    for p in (
        ChannelProtocol("v5.channel.k8s.io", status=True, closes=True),
        ChannelProtocol("v4.channel.k8s.io", status=True),
        ChannelProtocol("v4.base64.channel.k8s.io", base64=True, status=True),
        ChannelProtocol("channel.k8s.io"),
        ChannelProtocol("base64.channel.k8s.io", base64=True),
        ChannelProtocol(""),
    )
}


class Channels:
    """The channels of one WebSocket."""

    def __init__(self, socket: WebSocket, protocol: ChannelProtocol) -> None:
        self.socket, self.protocol = socket, protocol
        self._channel: int | None = None
        self._text: list[str] = []

    async def receive(self) -> tuple[int, bytes] | None:
        """The channel and a piece of its data, None at the end.

        Whether a message is text or binary says nothing: the Python client sends its input as text also where bytes belong.
        A message that cannot be decoded ends the connection.
        """
        while (piece := await self.socket.receive()) is not None:
            if self.protocol.base64:
                self._text.append(piece.data if isinstance(piece.data, str) else piece.data.decode("latin-1"))
                if sum(map(len, self._text)) > MAX_TEXT:
                    self.socket.close(TOO_BIG)
                    return None
                if piece.final:
                    text, self._text = "".join(self._text), []
                    message = self._decode(text)
                    if message is None or message[1]:
                        return message
            elif (data := self._split(piece.data.encode() if isinstance(piece.data, str) else piece.data, piece.final)) is not None:
                return data
        return None

    def _split(self, data: bytes, final: bool) -> tuple[int, bytes] | None:
        channel = self._channel
        if channel is None:
            if not data:
                return None
            channel, data = data[0], data[1:]
        self._channel = None if final else channel
        return (channel, data) if data else None

    def _decode(self, text: str) -> tuple[int, bytes] | None:
        try:
            return int(text[:1]), base64.b64decode(text[1:], validate=True)
        except (ValueError, binascii.Error):
            self.socket.close(UNSUPPORTED, "not a channel digit followed by base64")
            return None

    def write(self, channel: int, data: bytes) -> None:
        """Buffers data for a channel; nothing at all is a message too."""
        for at in range(0, len(data) or 1, CHUNK):
            piece = data[at : at + CHUNK]
            self.socket.write(f"{channel}{base64.b64encode(piece).decode()}" if self.protocol.base64 else bytes([channel]) + piece)

    async def drain(self) -> None:
        await self.socket.drain()
