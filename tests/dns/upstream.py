"""A name server elsewhere, on loopback: UDP and TCP on one port, with answers by name, and slowness and lies on demand."""
from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Behaviour = Callable[[dns.message.Message, bool], list[bytes]]
"""From a question, and whether it came over TCP, to the packets that are sent back."""


def answering(*records: str, code: str = "NOERROR", authority: tuple[str, ...] = (), flags: int = 0) -> Behaviour:
    def behave(query: dns.message.Message, stream: bool) -> list[bytes]:
        made = dns.message.make_response(query, recursion_available=True)
        made.set_rcode(dns.rcode.from_text(code))
        made.flags |= flags
        made.answer = [dns.rrset.from_text(*record.split(" ", 4)) for record in records]
        made.authority = [dns.rrset.from_text(*record.split(" ", 4)) for record in authority]
        return [made.to_wire(max_size=65535)]

    return behave


class Upstream(asyncio.DatagramProtocol):
    """`asked` are the questions that came, as `NAME TYPE`, with `tcp` behind those over TCP."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.asked: list[str] = []
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for packet in self._behave(data, False):
            self._transport.sendto(packet, addr)  # type: ignore[attr-defined]

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        for packet in self._behave(data, True):
            writer.write(len(packet).to_bytes(2, "big") + packet)
        writer.close()

    def _behave(self, data: bytes, stream: bool) -> list[bytes]:
        query = dns.message.from_wire(data)
        question = query.question[0]
        if dns.rdatatype.to_text(question.rdtype) != "HINFO":  # the search for a loop
            self.asked.append(f"{question.name.to_text(True)} {dns.rdatatype.to_text(question.rdtype)}{' tcp' if stream else ''}")
        return self.behave(query, stream)


@asynccontextmanager
async def running(behave: Behaviour, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Upstream]:
    upstream = Upstream(behave)
    loop = asyncio.get_running_loop()
    while True:
        server = await asyncio.start_server(upstream.stream, address, port, family=socket.AF_INET)
        upstream.port = server.sockets[0].getsockname()[1]
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: upstream, (address, upstream.port))
            break
        except OSError:  # TCP's free port is taken for UDP
            server.close()
    try:
        yield upstream
    finally:
        transport.close()
        server.close()
