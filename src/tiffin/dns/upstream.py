"""One question to one name server: over UDP from a port of its own, and over TCP when the answer was cut.

A forged answer has to hit a random port, a random id and the question itself; packets that do not are passed over and the waiting
goes on. The socket is connected, so packets of others do not arrive at all, and a port nobody listens on is noticed at once.
"""
from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

from tiffin.dns import message
from tiffin.dns.message import Message
from tiffin.dns.resolvers import Server
from tiffin.dns.wire import MAX_MESSAGE, Malformed, Question, Rcode
from tiffin.runtime.clock import Clock

T = TypeVar("T")


async def ask(server: Server, question: Question, flags: int, seconds: float, clock: Clock) -> tuple[Message, bytes]:
    """The answer, read and as it came. Raises OSError (TimeoutError when nobody answers) and Malformed."""
    deadline = _Deadline(clock, seconds)
    try:
        found, data = await deadline.within(_over_udp(server, question, flags, edns=True))
        if found.code in (Rcode.FORMERR, Rcode.NOTIMP):  # a server that does not know EDNS
            found, data = await deadline.within(_over_udp(server, question, flags, edns=False))
        if found.truncated:
            found, data = await deadline.within(_over_tcp(server, question, flags))
        return found, data
    finally:
        deadline.cancel()


class _Deadline:
    """Seconds of a clock that tests can move, for several waits together."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer = clock.call_later(seconds, self._pass)

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._passed), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise TimeoutError("no answer in time")
        finally:
            task.cancel()

    def _pass(self) -> None:
        if not self._passed.done():
            self._passed.set_result(None)

    def cancel(self) -> None:
        self._timer.cancel()
        self._passed.cancel()


async def _over_udp(server: Server, question: Question, flags: int, *, edns: bool) -> tuple[Message, bytes]:
    id = secrets.randbits(16)
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[bytes] = loop.create_future()

    def readable() -> None:
        try:
            data = connection.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError as error:
            if not arrived.done():
                arrived.set_exception(error)
            return
        if not arrived.done() and message.answers_to(data, id, question):
            arrived.set_result(data)

    with socket.socket(_family(server), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as connection:
        connection.connect((server.address, server.port))
        connection.send(message.encode_question(id, question, flags, edns=edns))
        loop.add_reader(connection, readable)
        try:
            data = await arrived
        finally:
            loop.remove_reader(connection)
    return message.parse(data), data


async def _over_tcp(server: Server, question: Question, flags: int) -> tuple[Message, bytes]:
    id = secrets.randbits(16)
    reader, writer = await asyncio.open_connection(server.address, server.port)
    try:
        asked = message.encode_question(id, question, flags, edns=True)
        writer.write(len(asked).to_bytes(2, "big") + asked)
        size = int.from_bytes(await reader.readexactly(2), "big")
        data = await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise ConnectionError(f"{server.address} closed the connection before its answer") from error
    finally:
        writer.close()
    if not message.answers_to(data, id, question):
        raise Malformed(Rcode.SERVFAIL, "an answer to another question")
    return message.parse(data), data


def _family(server: Server) -> int:
    return socket.AF_INET6 if ":" in server.address else socket.AF_INET
