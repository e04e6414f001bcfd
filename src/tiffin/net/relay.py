"""Passing an answer of a backend on: its body as it comes, or the whole connection after its 101.

Rules
* The connection is tunnelled only after the backend itself has said 101. Any other answer to an upgrade is passed on with its
  body, and both connections are closed (CVE-2018-1002105).
* Headers that belong to one hop stay there (RFC 9110, section 7.6.1).
* When the client leaves, the backend's connection is closed, even while the backend is silent.
"""
from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from tiffin.net.http import Connection, Response, Writer
from tiffin.net.httpclient import BODYLESS, Answer
from tiffin.net.wire import tunnel

HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


def end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that may travel on: neither hop-by-hop by their name nor named by a Connection header."""
    headers = list(headers)
    named = {token.strip().lower() for name, value in headers if name.lower() == "connection" for token in value.split(",")}
    return [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP and name.lower() not in named]


def upgrade_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The two hop-by-hop headers of an upgrade, set anew from the request or answer that has them."""
    return {"Connection": "Upgrade", "Upgrade": headers["upgrade"]} if "upgrade" in headers else {}


def relayed(answer: Answer) -> Response:
    """The answer to give to the client; takes care of closing `answer`."""
    headers = [(name, value) for name, value in end_to_end(answer.header_list) if name != "content-length"]
    if answer.status == 101:
        return _upgraded(answer, headers)
    single = {name: value for name, value in headers if name != "set-cookie"}
    if answer.status in BODYLESS or answer.method == "HEAD":
        answer.close()
        return Response(answer.status, single)
    cookies = tuple((name, value) for name, value in headers if name == "set-cookie")
    return Response(answer.status, single, stream=lambda writer: stream_body(answer, writer), repeated_headers=cookies, discard=answer.close)


def _upgraded(answer: Answer, headers: list[tuple[str, str]]) -> Response:
    backend = answer.connection()
    answer.close()

    async def take_over(client: Connection) -> None:
        await tunnel(client, backend)

    return Response(101, dict(headers) | upgrade_headers(answer.headers), upgrade=take_over, discard=backend.close)


async def stream_body(answer: Answer, writer: Writer) -> None:
    """Copies the body to the client until it ends or the client leaves. Raises ConnectionError where the backend breaks off."""
    copying = asyncio.ensure_future(_copy(answer, writer))
    leaving = asyncio.ensure_future(writer.wait_closed())
    try:
        await asyncio.wait([copying, leaving], return_when=asyncio.FIRST_COMPLETED)
        if copying.done():
            copying.result()
    finally:
        for task in (copying, leaving):
            task.cancel()
        await asyncio.gather(copying, leaving, return_exceptions=True)
        answer.close()


async def _copy(answer: Answer, writer: Writer) -> None:
    while data := await answer.read():
        writer.write(data)
        await writer.drain()
