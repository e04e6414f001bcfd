"""GET and TCP connects as probes and hooks make them: one connection each, certificates not verified, errors in Go's words.

Redirects within the same host are followed, at most ten; one that leads elsewhere is the answer (CVE-2020-8559 and its kin).
"""
from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from tiffin.net.httpclient import Origin, Pool

USER_AGENT = "kube-probe/1.36"
BODY_LIMIT = 10 * 1024
MAX_REDIRECTS = 10


class WebFault(Exception):
    """No answer; the text is Go's."""


class Reply(NamedTuple):
    status: int
    body: str


@cache
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def cause(error: BaseException, address: str, port: int) -> str:
    """A failed connection as Go says it."""
    where = f"dial tcp {_host(address)}:{port}"
    if isinstance(error, TimeoutError):
        return f"{where}: i/o timeout"
    number = getattr(error, "errno", None)
    text = {errno.ECONNREFUSED: "connection refused", errno.EHOSTUNREACH: "no route to host", errno.ENETUNREACH: "network is unreachable"}.get(number or 0)
    if text:
        return f"{where}: connect: {text}"
    return f"{where}: {os.strerror(number).lower()}" if number else str(error) or type(error).__name__


async def get(scheme: str, address: str, port: int, path: str, headers: Iterable[Mapping[str, str]], timeout: float) -> Reply:
    """GET a URL; the body is cut. Raises WebFault."""
    url = f"{scheme.lower()}://{_host(address)}:{port}{path if path.startswith('/') else '/' + path}"
    given = {h["name"]: h["value"] for h in headers}
    first = url
    try:
        async with asyncio.timeout(timeout):
            for _ in range(MAX_REDIRECTS + 1):
                reply, location = await _get_once(url, address, port, given)
                target = urljoin(url, location) if location else ""
                if not target or urlsplit(target).hostname != urlsplit(url).hostname:
                    return reply
                url = target
    except TimeoutError as error:
        raise WebFault(f'Get "{first}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)') from error
    except OSError as error:
        raise WebFault(f'Get "{url}": {cause(error, address, port)}') from error
    raise WebFault(f'Get "{url}": stopped after {MAX_REDIRECTS} redirects')


async def _get_once(url: str, address: str, port: int, given: Mapping[str, str]) -> tuple[Reply, str]:
    """One exchange: the reply, and where it redirects to if it does."""
    parts = urlsplit(url)
    tls = _unverified() if parts.scheme == "https" else None
    host = next((v for k, v in given.items() if k.lower() == "host"), "")
    name, _, _ = (host or parts.hostname or address).partition(":")
    origin = Origin(host or parts.hostname or address, parts.port or port, tls, address=address, server_name=name if tls else "")
    pool = Pool(origin, idle=0)
    try:
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"} | {k: v for k, v in given.items() if k.lower() != "host"}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        answer = await pool.request("GET", target, headers, timeout=None)
        async with answer:
            body = b""
            while len(body) < BODY_LIMIT and (piece := await answer.read()):
                body += piece
        redirected = 300 <= answer.status < 400
        return Reply(answer.status, body[:BODY_LIMIT].decode(errors="replace")), answer.headers.get("location", "") if redirected else ""
    finally:
        pool.close()


async def connect(address: str, port: int, timeout: float) -> None:
    """Open and close a TCP connection. Raises WebFault."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(address, port)
        writer.close()
    except OSError as error:
        raise WebFault(cause(error, address, port)) from error
