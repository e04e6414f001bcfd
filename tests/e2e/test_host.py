"""The machine's own network changes under a cluster: another address, another way out, a restart. Inside nothing changes.

A network namespace stands for the machine, so that its address can be taken away.
"""
from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.conftest import needs_nodes
from tests.e2e.images import SLEEP
from tests.e2e.test_lifecycle import layout
from tiffin.cluster import netns

pytestmark = needs_nodes


class Machine(Cluster):
    """A cluster whose every command is given inside a network namespace."""

    def _run(self, command: Sequence[str], *, check: bool, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return netns.inside(netns.NAMESPACES / self.name, lambda: super(Machine, self)._run(command, check=check, input=input))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(f"machine-{os.getpid()}", tmp_path)
    path = netns.create(made.name)
    try:
        netns.inside(path, lambda: configure(lambda ip: ip.link("add", ifname="lan0", kind="bridge"), "192.0.2.10", "192.0.2.1"))
        yield made
    finally:
        made.tiffin("down", "--purge", "--grace", "0")
        netns.remove(made.name)


def configure(before: Callable[..., object], address: str, gateway: str) -> None:
    """Gives the namespace's one interface this address and way out, and no other."""
    from pyroute2.iproute.linux import IPRoute

    with IPRoute() as ip:
        before(ip)
        index = ip.link_lookup(ifname="lan0")[0]
        ip.link("set", index=1, state="up")
        ip.flush_addr(index=index)
        ip.addr("add", index=index, address=address, prefixlen=24)
        ip.link("set", index=index, state="up")
        ip.route("replace", dst="default", gateway=gateway)


def test_another_address_and_a_restart_change_nothing_inside(machine: Machine, image_files: dict[str, Path]) -> None:
    machine.up("--nodes", "2")
    machine.tiffin("image", "load", str(image_files[SLEEP]))
    for number in (1, 2):
        on = f'{{"spec":{{"nodeName":"node-{number}"}}}}'
        machine.kubectl("run", f"p{number}", f"--image={SLEEP}", "--image-pull-policy=IfNotPresent", "--overrides", on)
    machine.wait("condition=Ready", "pod/p1", "pod/p2")
    nodes = machine.jsonpath("nodes", "{.items[*].status.addresses[0].address}")

    def ping() -> bool:
        address = machine.jsonpath("pod p2", "{.status.podIP}")
        return machine.kubectl("exec", "p1", "--", "ping", "-c", "1", "-W", "1", address, check=False).returncode == 0

    assert ping()
    netns.inside(netns.NAMESPACES / machine.name, lambda: configure(lambda ip: None, "198.51.100.77", "198.51.100.1"))
    assert ping() and machine.tiffin("status").returncode == 0

    pids = {file: file.read_bytes() for file in (machine.data_dir / "pids").iterdir()}
    machine.tiffin("down", "--grace", "0")
    for file, content in pids.items():
        file.write_bytes(content)
    for number in (1, 2):
        (netns.NAMESPACES / layout(machine).node(number).netns).touch()
    machine.up()
    machine.wait("condition=Ready", "pod/p1", "pod/p2")
    eventually("pods reach one another", ping)
    assert machine.jsonpath("nodes", "{.items[*].status.addresses[0].address}") == nodes
