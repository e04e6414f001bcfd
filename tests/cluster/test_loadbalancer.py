"""Services of type LoadBalancer: who gets which port, and that bytes arrive and come back. The "nodes" are 127.0.0.2 and its neighbours."""
from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tiffin.client.memory import MemoryClient
from tiffin.cluster import forwarding
from tiffin.cluster.balancing import Slot, plan
from tiffin.cluster.loadbalancer import FINALIZER, NODES, SERVICES, SLICES, LoadBalancer
from tiffin.cluster.portholder import holder
from tiffin.machinery.object import Key, Object
from tiffin.runtime.clock import FakeClock
from tiffin.runtime.events import EVENTS


def service(name: str = "web", *ports: Any, created: str = "2026-01-01T00:00:00Z", metadata: Object | None = None, **spec: Any) -> Object:
    listed = [{"port": p, "protocol": "TCP"} if isinstance(p, int) else {"port": p[0], "protocol": p[1]} for p in ports or (80,)]
    meta = {"name": name, "namespace": "default", "creationTimestamp": created, **(metadata or {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"type": "LoadBalancer", "ports": listed, **spec}, "status": {"loadBalancer": {}}}


def node(name: str = "n", address: str = "10.0.0.1", ready: bool = True, **labels: str) -> Object:
    status = {"conditions": [{"type": "Ready", "status": str(ready)}], "addresses": [{"type": "InternalIP", "address": address}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {k.replace("__", "/"): v for k, v in labels.items()}}, "status": status}


def endpoint_slice(*places: tuple[str, bool]) -> Object:
    labels = {"kubernetes.io/service-name": "web"}
    return {"metadata": {"name": "s", "namespace": "default", "labels": labels}, "endpoints": [{"nodeName": n, "conditions": {"ready": r}} for n, r in places]}


WEB = Key("default", "web")


@pytest.mark.parametrize(("svc", "nodes", "slices", "answering"), [
    (service(), [node()], [], ("10.0.0.1",)),
    (service(), [node(ready=False)], [], ()),
    (service(), [node("a", "10.0.0.1"), node("b", "10.0.0.2")], [], ("10.0.0.1", "10.0.0.2")),
    (service(), [node(), node("s", "10.9.9.9", **{"tiffin.dev/simulated": ""})], [], ("10.0.0.1",)),
    (service(), [node(), node("x", "10.9.9.9", **{"node.kubernetes.io/exclude-from-external-load-balancers": ""})], [], ("10.0.0.1",)),
    (service(externalTrafficPolicy="Local"), [node("a", "10.0.0.1"), node("b", "10.0.0.2")], [endpoint_slice(("b", True), ("a", False))], ("10.0.0.2",)),
    (service(externalTrafficPolicy="Local"), [node()], [], ())])
def test_which_nodes_answer(svc: Object, nodes: list[Object], slices: list[Object], answering: tuple[str, ...]) -> None:
    assert plan([svc], nodes, slices).routes[WEB].nodes == answering


def test_a_port_belongs_to_the_oldest_service() -> None:
    found = plan([service("late", 80, created="2026-01-02T00:00:00Z"), service("web", 80, 443), service("udp", (80, "UDP"))], [node()], [])
    assert found.slots == {WEB: [Slot("TCP", 80), Slot("TCP", 443)], Key("default", "udp"): [Slot("UDP", 80)]}
    assert found.waiting[Key("default", "late")] == (
        "SyncLoadBalancerFailed", "Error syncing load balancer: port 80/TCP of this machine is taken by the service default/web")


@pytest.mark.parametrize(("svc", "nodes", "part"), [
    (service(), [], "no available nodes"), (service(), [node(**{"tiffin.dev/simulated": ""})], "simulated nodes run no containers"),
    (service("web", (80, "SCTP")), [node()], "TCP and UDP only")])
def test_what_has_to_wait(svc: Object, nodes: list[Object], part: str) -> None:
    assert part in plan([svc], nodes, []).waiting[WEB][1]


@pytest.mark.parametrize("svc", [
    service(type="NodePort"), service(loadBalancerClass="example.com/lb"), service(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})])
def test_what_is_not_ours(svc: Object) -> None:
    found = plan([svc], [node()], [])
    assert not found.slots and not found.waiting


# --- with sockets ----------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


class Stage:
    """A load balancer over a make-believe API, and a node at 127.0.0.2 that answers in capital letters."""

    def __init__(self, port: int) -> None:
        self.clock = FakeClock()
        self.client = MemoryClient(self.clock.now)
        self.port = port

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.005)

    def ingress(self, name: str = "web") -> list[Object] | None:
        svc = next((s for s in self.client.objects(SERVICES) if s["metadata"]["name"] == name), {})
        return svc.get("status", {}).get("loadBalancer", {}).get("ingress")

    def finalizers(self) -> list[str]:
        return self.client.objects(SERVICES)[0]["metadata"].get("finalizers") or []

    def events(self) -> list[str]:
        return [e["message"] for e in self.client.objects(EVENTS)]

    async def ask(self, text: bytes = b"hello") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text)
        writer.write_eof()
        try:
            return await reader.read()
        finally:
            writer.close()


class Shouting(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.transport.sendto(data.upper(), address)


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.read()).upper())
    writer.close()


@asynccontextmanager
async def stage(*nodes: Object) -> AsyncIterator[Stage]:
    rig = Stage(free_port())
    rig.client.put(NODES, *(nodes or (node("n", "127.0.0.2"),)))
    server = await asyncio.start_server(shout, "127.0.0.2", rig.port)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Shouting, ("127.0.0.2", rig.port))
    balancing = asyncio.create_task(LoadBalancer(rig.client, rig.clock, ("127.0.0.1",)).run())
    try:
        yield rig
    finally:
        balancing.cancel()
        await asyncio.gather(balancing, return_exceptions=True)
        transport.close()
        server.close()


async def test_a_connection_reaches_a_node_and_the_answer_comes_back() -> None:
    async with stage(node("n", "127.0.0.2"), node("dead", "127.0.0.3")) as rig:
        rig.client.put(SERVICES, service("web", rig.port, (rig.port, "UDP")))
        await rig.until(lambda: rig.ingress() == [{"hostname": "localhost"}])
        assert FINALIZER in rig.finalizers()
        for _ in range(4):  # also when the dead node has its turn
            assert await rig.ask(b"x" * 300_000) == b"X" * 300_000
        rig.client.put(NODES, node("dead", "127.0.0.3", ready=False) | {"metadata": rig.client.objects(NODES)[0]["metadata"]})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(5):
                await loop.sock_connect(udp, ("127.0.0.1", rig.port))
                answer = None
                while answer is None:  # a datagram may go to the dead node before its state is known
                    await loop.sock_sendall(udp, b"hello")
                    try:
                        answer = await asyncio.wait_for(loop.sock_recv(udp, 100), 0.5)
                    except (TimeoutError, ConnectionError):
                        await loop.sock_connect(udp, ("127.0.0.1", rig.port))
        assert answer == b"HELLO"


@pytest.mark.parametrize(("ranges", "admitted"), [([], True), (["127.0.0.0/8"], True), (["10.0.0.0/8"], False)])
async def test_source_ranges(ranges: list[str], admitted: bool) -> None:
    async with stage() as rig:
        rig.client.put(SERVICES, service("web", rig.port, loadBalancerSourceRanges=ranges))
        await rig.until(lambda: bool(rig.ingress()))
        try:
            answer = await rig.ask()
        except ConnectionError:
            answer = b""
        assert answer == (b"HELLO" if admitted else b"")


async def test_attack_19_so_many_connections_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "MAX_CONNECTIONS", 2)
    async with stage() as rig:
        rig.client.put(SERVICES, service("web", rig.port))
        await rig.until(lambda: bool(rig.ingress()))
        silent = [await asyncio.open_connection("127.0.0.1", rig.port) for _ in range(2)]
        with pytest.raises(ConnectionError):
            assert await rig.ask() == b""
            raise ConnectionResetError("turned away without a word")
        for _, writer in silent:
            writer.close()
        answer = b""
        while answer != b"HELLO":
            try:
                answer = await rig.ask()
            except ConnectionError:
                continue


async def test_a_taken_port_keeps_the_service_waiting_until_it_is_free() -> None:
    async with stage() as rig:
        taken = socket.create_server(("127.0.0.1", rig.port))
        rig.client.put(SERVICES, service("web", rig.port))
        await rig.until(lambda: bool(rig.events()))
        assert f"port {rig.port}/TCP of 127.0.0.1 is taken by process" in rig.events()[0] and f"(pid {os.getpid()})" in rig.events()[0]
        await rig.until(lambda: not rig.finalizers())
        assert not rig.ingress()
        taken.close()
        await rig.clock.advance(11)
        await rig.until(lambda: bool(rig.ingress()))
        assert await rig.ask() == b"HELLO"


@pytest.mark.parametrize("how", ["deleted", "retyped"])
async def test_a_service_that_goes_leaves_nothing(how: str) -> None:
    async with stage() as rig:
        rig.client.put(SERVICES, service("web", rig.port))
        await rig.until(lambda: bool(rig.ingress()))
        if how == "deleted":
            await rig.client.delete(SERVICES, "default", "web")
            await rig.until(lambda: not rig.client.objects(SERVICES))
        else:
            await rig.client.patch(SERVICES, "default", "web", {"spec": {"type": "ClusterIP"}})
            await rig.until(lambda: not rig.finalizers() and not rig.ingress())
        with pytest.raises(ConnectionRefusedError):
            await rig.ask()


async def test_only_simulated_nodes_say_why_nothing_happens() -> None:
    async with stage(node("s", "100.64.0.1", **{"tiffin.dev/simulated": ""})) as rig:
        rig.client.put(SERVICES, service("web", rig.port))
        await rig.until(lambda: bool(rig.events()))
        assert "There are no available nodes for LoadBalancer" in rig.events()[0]
        assert not rig.finalizers() and not rig.ingress()


async def test_local_policy_follows_the_pods() -> None:
    async with stage() as rig:
        rig.client.put(SERVICES, service("web", rig.port, externalTrafficPolicy="Local"))
        await rig.until(lambda: bool(rig.ingress()))
        with pytest.raises(ConnectionError):
            assert await rig.ask() == b""
            raise ConnectionError
        rig.client.put(SLICES, endpoint_slice(("n", True)))
        answers: list[bytes] = []
        async with asyncio.timeout(5):
            while answers[-1:] != [b"HELLO"]:
                try:
                    answers.append(await rig.ask())
                except ConnectionError:
                    await asyncio.sleep(0.005)


def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert f"(pid {os.getpid()})" in holder("TCP", taken.getsockname()[1])
    assert holder("TCP", 1) == "another process"


async def test_what_others_say_of_a_service_that_waits_stays() -> None:
    async with stage(node("s", "100.64.0.1", **{"tiffin.dev/simulated": ""})) as rig:
        rig.client.put(SERVICES, service("web", rig.port) | {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}})
        await rig.until(lambda: bool(rig.events()))
        assert rig.ingress() == [{"ip": "192.0.2.1"}]
