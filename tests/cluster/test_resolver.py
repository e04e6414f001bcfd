"""Which name servers a node's namespace is given."""
from __future__ import annotations

from pathlib import Path

import pytest

from tiffin.cluster.resolver import reachable_file, servers


@pytest.mark.parametrize(
    "usual, true, chosen",
    [
        ("nameserver 192.0.2.1\n", "nameserver 192.0.2.9\n", "usual"),
        ("# stub\nnameserver 127.0.0.53\noptions edns0\n", "nameserver 192.0.2.9\n", "true"),
        ("nameserver 127.0.0.53\n", None, "usual"),
        ("nameserver 127.0.0.53\n", "# no servers\n", "usual"),
        ("nameserver 2001:db8::1\nnameserver 127.0.0.1\n", "nameserver 192.0.2.9\n", "true"),
        (None, "nameserver 192.0.2.9\n", "usual"),
        ("nameserver\nnameserver nonsense\n", "nameserver 192.0.2.9\n", "usual"),
    ],
)
def test_pods_get_servers_they_can_reach(tmp_path: Path, usual: str | None, true: str | None, chosen: str) -> None:
    for name, content in (("usual", usual), ("true", true)):
        if content is not None:
            (tmp_path / name).write_text(content)
    assert reachable_file(tmp_path / "usual", tmp_path / "true") == tmp_path / chosen


def test_servers_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("search a b\nnameserver 192.0.2.1\n nameserver 2001:db8::1\n#nameserver 192.0.2.2\nnameserver 192.0.2.3 # x\n")
    assert servers(file) == ["192.0.2.1", "2001:db8::1", "192.0.2.3"]
