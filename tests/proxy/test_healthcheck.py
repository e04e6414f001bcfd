"""What a load balancer is told."""
from __future__ import annotations

import asyncio
import json
import socket

import pytest

from tiffin.machinery.object import Key
from tiffin.proxy import healthcheck
from tiffin.proxy.healthcheck import Health, HealthPorts


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ask(port: int) -> tuple[str, dict[str, str], object]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    status, *headers = head.split("\r\n")
    return status, dict(line.split(": ", 1) for line in headers), json.loads(body)


async def test_answers() -> None:
    ports, port = HealthPorts(), free_port()
    for count, status in ((2, "HTTP/1.1 200 OK"), (0, "HTTP/1.1 503 Service Unavailable")):
        await ports.update({port: Health(Key("default", "web"), count)})
        line, headers, body = await ask(port)
        assert line == status and headers["Content-Type"] == "application/json" and headers["X-Load-Balancing-Endpoint-Weight"] == str(count)
        assert body == {"service": {"namespace": "default", "name": "web"}, "localEndpoints": count, "serviceProxyHealthy": True}
    await ports.close()
    with pytest.raises(ConnectionRefusedError):
        await ask(port)


async def test_a_port_that_is_taken_is_told_of_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    ports, health = HealthPorts(), Health(Key("default", "web"), 1)
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for _ in range(2):
            await ports.update({port: health})
        assert len(caplog.records) == 1 and f"health check node port {port} of service default/web cannot be opened" in caplog.text
    await ports.update({port: health})
    assert (await ask(port))[0] == "HTTP/1.1 200 OK"
    await ports.close()


@pytest.mark.parametrize("nonsense", [b"", b"x" * 20000 + b"\r\n\r\n", b"\x16\x03\x01"])
async def test_nonsense_harms_nobody(nonsense: bytes) -> None:
    ports, port = HealthPorts(), free_port()
    await ports.update({port: Health(Key("default", "web"), 1)})
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(nonsense)
    writer.write_eof()
    try:
        assert await reader.read() == b""
    except ConnectionResetError:
        assert nonsense  # what was not read is answered like this
    writer.close()
    assert (await ask(port))[0] == "HTTP/1.1 200 OK"
    await ports.close()


async def test_attack_19_callers_who_say_nothing_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthcheck, "MOST_CALLERS", 3)
    ports, port = HealthPorts(), free_port()
    await ports.update({port: Health(Key("default", "web"), 1)})
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""  # turned away, at once
    for _, each in (*silent, (reader, writer)):
        each.close()
        await each.wait_closed()
    async with asyncio.timeout(5):
        while ports._callers:
            await asyncio.sleep(0)
    assert (await ask(port))[0] == "HTTP/1.1 200 OK"
    await ports.close()
