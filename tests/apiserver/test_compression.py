"""Large answers are compressed for whoever takes gzip, and for nobody else."""
from __future__ import annotations

import gzip

import pytest

from tiffin.apiserver.compression import FROM, accepts_gzip, compress
from tiffin.net.http import Request, Response


@pytest.mark.parametrize(("header", "accepted"), [
    ("", False), ("gzip", True), ("deflate, GZIP;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.000", False), ("identity", False), ("br,x-gzip", True), ("*", False),
])
def test_who_takes_gzip(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize(("size", "header", "compressed"), [(FROM, "gzip", True), (FROM - 1, "gzip", False), (FROM, "", False)])
async def test_large_answers_only(size: int, header: str, compressed: bool) -> None:
    body = b'{"kind":"List"}'.ljust(size)
    response = Response(200, {"Vary": "Accept"}, body)
    await compress(Request("GET", "/", {"accept-encoding": header}), response)
    assert (response.headers.get("Content-Encoding") == "gzip") is compressed
    assert (gzip.decompress(response.body) if compressed else response.body) == body
    assert response.headers["Vary"] == ("Accept, Accept-Encoding" if compressed else "Accept")


async def test_what_is_encoded_already_stays() -> None:
    response = Response(200, {"Content-Encoding": "br"}, b"x" * FROM)
    await compress(Request("GET", "/", {"accept-encoding": "gzip"}), response)
    assert response.body == b"x" * FROM
