"""The node's resolv.conf, and who is asked first."""
from __future__ import annotations

from pathlib import Path

import pytest

from tiffin.dns.resolvers import Resolvers, Server
from tiffin.runtime.clock import FakeClock

OWN = ("10.96.0.10", "10.199.0.2", "fd00::10")


def resolvers(file: Path) -> Resolvers:
    return Resolvers(file, OWN, FakeClock().now)


@pytest.mark.parametrize(("text", "expected"), [
    ("nameserver 192.0.2.1\n", ["192.0.2.1"]),
    ("# comment\nsearch lan\nnameserver 192.0.2.1 # here\nnameserver 2001:db8::1\n", ["192.0.2.1", "2001:db8::1"]),
    ("nameserver 192.0.2.1\nnameserver 192.0.2.1\n", ["192.0.2.1"]),
    ("".join(f"nameserver 192.0.2.{n}\n" for n in range(6)), ["192.0.2.0", "192.0.2.1", "192.0.2.2"]),
    ("nameserver 10.96.0.10\nnameserver fd00:0::10\nnameserver 10.199.0.2\nnameserver 192.0.2.1\n", ["192.0.2.1"]),
    ("nameserver example.com\nnameserver\nnameservers 192.0.2.1\n", []),
    ("nameserver fe80::1%eth0\n", ["fe80::1%eth0"]),
    ("", []),
])
def test_reading(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "resolv.conf").write_text(text)
    assert [server.address for server in resolvers(tmp_path / "resolv.conf").servers()] == expected


def test_changes(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    found = resolvers(file)
    assert found.servers() == []
    file.write_text("nameserver 192.0.2.1\n")
    assert found.servers() == [Server("192.0.2.1")]
    generation = found.generation
    (tmp_path / "new").write_text("nameserver 192.0.2.22\n")
    (tmp_path / "new").rename(file)
    assert found.servers() == [Server("192.0.2.22")] and found.generation > generation
    generation = found.generation
    file.write_text("nameserver 192.0.2.22\nsearch lan\n")
    assert found.servers() == [Server("192.0.2.22")] and found.generation == generation
    file.unlink()
    assert found.servers() == []


async def test_the_silent_are_asked_last_for_a_while(tmp_path: Path) -> None:
    file, clock = tmp_path / "resolv.conf", FakeClock()
    file.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    found = Resolvers(file, OWN, clock.now)
    first, second = found.servers()
    found.silent(first)
    assert found.servers() == [second, first]
    await clock.advance(10)
    assert found.servers() == [first, second]
    found.silent(first)
    found.answered(first)
    assert found.servers() == [first, second]
