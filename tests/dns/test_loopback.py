"""The DNS address on the loopback interface of a network namespace of the test's own."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.node, pytest.mark.skipif(os.geteuid() != 0, reason="takes root")]

_SCRIPT = """
import socket
from pyroute2 import IPRoute
from tiffin.dns import loopback

with IPRoute() as ip:  # before there is any address, the kernel lets a socket have whichever it asks for
    ip.link("set", index=ip.link_lookup(ifname="lo")[0], state="up")

def bound(address):
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
            return True
    except OSError:
        return False

for address in ("10.96.0.10", "fd00:96::a"):
    seen = [bound(address)]
    for change in (loopback.add, loopback.add, loopback.remove, loopback.remove):
        change(address)
        seen.append(bound(address))
    print(address, seen)
"""


def test_added_once_and_removed_once() -> None:
    found = subprocess.run(["unshare", "--net", sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [f"{address} [False, True, True, False, False]" for address in ("10.96.0.10", "fd00:96::a")]

