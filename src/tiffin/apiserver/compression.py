"""Large answers, compressed for clients that take gzip.

From 128 KiB on, as kube-apiserver does; at the quickest level, and in a thread, where it keeps neither the event loop nor Python's lock.
Source: KEP-156 and RFC 9110, 12.5.3.
"""
from __future__ import annotations

import asyncio
import zlib

from tiffin.net.http import Request, Response

FROM = 128 << 10
"""Bytes below which an answer goes out as it is."""
LEVEL = 1
GZIP_WINDOW = 16 + zlib.MAX_WBITS


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header names gzip, and not with quality 0."""
    for clause in header.split(","):
        coding, *parameters = (piece.strip().lower() for piece in clause.split(";"))
        if coding in ("gzip", "x-gzip"):
            return not any(p.startswith("q=") and not p[2:].strip("0.") for p in parameters)
    return False


async def compress(request: Request, response: Response) -> None:
    """Compresses the body in place where it is large and the client takes it so."""
    if len(response.body) < FROM or "Content-Encoding" in response.headers or not accepts_gzip(request.headers.get("accept-encoding", "")):
        return
    response.body = await asyncio.get_running_loop().run_in_executor(None, _gzip, response.body)
    response.headers["Content-Encoding"] = "gzip"
    vary = response.headers.get("Vary")
    response.headers["Vary"] = f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    return packer.compress(body) + packer.flush()
