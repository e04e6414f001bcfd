"""Certificates close to their end are made anew, and a context in use shows the new ones."""
from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tiffin.net.certrequest import key_digest, new_request, validity
from tiffin.net.pki import LEAF_LIFE, Pki, ensure_pki
from tiffin.net.renewal import LOOK_SECONDS, keep_loaded
from tiffin.net.tlsclient import client_context
from tiffin.runtime.clock import FakeClock


def test_what_is_about_to_end_is_renewed_for_the_same_names(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path, ["localhost", "10.0.0.1"])
    pki.node_client("a")
    pki.node_serving("a", ["a", "10.0.0.2"])
    before = {name: (tmp_path / name).read_bytes() for name in ("apiserver.crt", "node-a-client.crt", "node-a-serving.crt", "ca.crt", "sa.key")}
    assert pki.renew(datetime.now(UTC)) == []
    later = datetime.now(UTC) + LEAF_LIFE - timedelta(days=30)
    assert sorted(pki.renew(later)) == ["apiserver.crt", "node-a-client.crt", "node-a-serving.crt"]
    after = {name: (tmp_path / name).read_bytes() for name in before}
    assert [name for name in before if before[name] == after[name]] == ["ca.crt", "sa.key"]
    assert Pki(tmp_path).serving("apiserver", "kube-apiserver", ["localhost"]).certificate.read_bytes() == after["apiserver.crt"]
    assert key_digest(after["apiserver.crt"]) != key_digest(before["apiserver.crt"])


async def test_a_running_server_shows_the_renewed_certificate(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path, ["localhost"])
    clock, context = FakeClock(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.certificate, pki.server.key)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    task = asyncio.create_task(keep_loaded(context, [(pki.server.certificate, pki.server.key)], clock.sleep))

    async def shown() -> int:
        _, writer = await asyncio.open_connection("localhost", port, ssl=client_context(pki.ca_pem.decode()))
        serial = int(writer.get_extra_info("peercert")["serialNumber"], 16)
        writer.close()
        return serial

    await clock.settle()
    first = await shown()
    pki.renew(datetime.now(UTC) + LEAF_LIFE)
    assert await shown() == first
    await clock.advance(LOOK_SECONDS)
    assert await shown() != first
    task.cancel()
    server.close()


def test_a_request_is_signed_for_what_it_asks(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path, ["localhost"])
    _, request = new_request("system:node:a", ["system:nodes"], ["a", "10.0.0.1"])
    start, end = validity(pki.sign(request, ("digital signature", "server auth"), timedelta(hours=1)))
    assert timedelta(hours=1) <= end - start <= timedelta(hours=1, minutes=6)
