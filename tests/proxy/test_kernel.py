"""What packets do: the kernel's own rules, between network namespaces."""
from __future__ import annotations

import os
import shutil
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proxy.builders import CONFIG, HERE, NODE, THERE, endpoint, port, service, slice_of
from tests.proxy.lab import NODE_IP, OUTSIDE, POD, POD_2, REMOTE_POD, Lab, ask, lab
from tiffin.proxy import nftables
from tiffin.proxy.endpoints import Target
from tiffin.proxy.ledger import difference
from tiffin.proxy.plan import FrontKey, plan

pytestmark = [pytest.mark.node, pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="takes root and nft")]

VIP, UDP = "10.96.0.20", socket.SOCK_DGRAM
LOCAL, LOCAL_2, REMOTE = endpoint(POD, HERE), endpoint(POD_2, HERE), endpoint(REMOTE_POD, THERE)


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    with lab() as made:
        for where, address in (("pod", POD), ("pod-2", POD_2), ("outside", REMOTE_POD)):
            made.serve(where, address)
            made.serve(where, address, kind=UDP)
        yield made


@pytest.fixture
def net(shared: Lab) -> Iterator[Lab]:
    """The lab with no services."""
    yield shared
    shared.program()


def answering(net: Lab, where: str, address: str, number: int, calls: int = 24) -> set[str]:
    return {net.call(where, address, number)[0] for _ in range(calls)}


def test_a_cluster_address_spreads_over_all_endpoints_and_keeps_pods_addresses(net: Lab) -> None:
    net.program((service(), [slice_of("web", LOCAL, LOCAL_2, REMOTE)]))
    answers = Counter(net.call("pod", VIP, 80) for _ in range(60))
    assert set(answers) == {(POD, "10.244.1.1"), (POD_2, POD), (REMOTE_POD, POD)}  # the first is the pod itself: hairpin
    assert min(answers.values()) > 5
    assert answering(net, "node", VIP, 80) == {POD, POD_2, REMOTE_POD}


def test_who_is_no_pod_is_masqueraded(net: Lab) -> None:
    net.program((service(), [slice_of("web", LOCAL)]))
    assert net.call("outside", VIP, 80) == (POD, "10.244.1.1")


def test_pods_of_one_bridge_when_the_kernel_does_not_look_at_it(net: Lab) -> None:
    switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    net.inside("node", lambda: switch.write_text("0"))
    try:
        net.program((service(), [slice_of("web", LOCAL_2)]), bridge_is_seen=False)
        assert net.call("pod", VIP, 80) == (POD_2, "10.244.1.1")
    finally:
        net.inside("node", lambda: switch.write_text("1"))


def test_endpoints_change_under_the_address(net: Lab) -> None:
    for endpoints, expected in (([LOCAL], {POD}), ([LOCAL_2], {POD_2}), ([LOCAL_2, REMOTE], {POD_2, REMOTE_POD}), ([REMOTE], {REMOTE_POD})):
        net.program((service(), [slice_of("web", *endpoints)]))
        assert answering(net, "pod", VIP, 80, 12) == expected


def test_without_endpoints_and_on_other_ports_calls_are_refused_at_once(net: Lab) -> None:
    external = service("ext", "10.96.0.21", externalIPs=["203.0.113.5"])
    net.program((service(), [slice_of("web")]), (external, []))
    for where in ("pod", "node"):
        for address, number in ((VIP, 80), (VIP, 81), ("203.0.113.5", 80)):
            with pytest.raises(ConnectionRefusedError):
                net.call(where, address, number)
        # The kernel says so itself, and in these words, to a process on the node.
        with pytest.raises(ConnectionRefusedError if where == "pod" else PermissionError):
            net.call(where, VIP, 80, UDP)
    with pytest.raises(TimeoutError):
        net.call("pod", "10.96.7.7", 80)


def test_an_address_answers_no_ping(net: Lab) -> None:
    net.program((service(), [slice_of("web", LOCAL)]))
    with net.inside("pod-2", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)) as ping:
        ping.settimeout(0.3)
        ping.sendto(struct.pack("!BBHHH", 8, 0, 0xF7FE, 0, 1), (VIP, 0))
        with pytest.raises(TimeoutError):
            ping.recv(100)


def test_node_ports_and_load_balancer_ports_on_the_nodes_addresses(net: Lab) -> None:
    net.program((service(type="LoadBalancer", ports=[port(8088, 8080, nodePort=30080)], ingress=[{"ip": "203.0.113.9"}]), [slice_of("web", LOCAL, REMOTE)]))
    for address, number in ((NODE_IP, 30080), ("10.244.1.1", 30080), (NODE_IP, 8088), ("203.0.113.9", 8088)):
        assert answering(net, "outside", address, number) == {POD, REMOTE_POD}
    assert answering(net, "pod", NODE_IP, 30080) == answering(net, "node", NODE_IP, 30080) == {POD, REMOTE_POD}
    with pytest.raises(ConnectionRefusedError):
        net.call("node", "127.0.0.1", 30080)


def test_the_kubelets_port_is_never_taken(net: Lab) -> None:
    net.serve("node", NODE_IP, 10250)
    net.program((service(type="LoadBalancer", ports=[port(10250, 8080)]), [slice_of("web", LOCAL)]))
    assert net.call("outside", NODE_IP, 10250) == (NODE_IP, OUTSIDE)


def test_external_policy_local_keeps_the_clients_address(net: Lab) -> None:
    local = service(type="LoadBalancer", ports=[port(8088, 8080, nodePort=30080)], externalTrafficPolicy="Local", ingress=[{"ip": "203.0.113.9"}])
    net.program((local, [slice_of("web", LOCAL, REMOTE)]))
    for address, number in ((NODE_IP, 30080), (NODE_IP, 8088), ("203.0.113.9", 8088)):
        assert {net.call("outside", address, number) for _ in range(12)} == {(POD, OUTSIDE)}
    assert answering(net, "pod-2", NODE_IP, 30080) == answering(net, "node", NODE_IP, 30080) == {POD, REMOTE_POD}
    net.program((local, [slice_of("web", REMOTE)]))
    with pytest.raises(TimeoutError):
        net.call("outside", NODE_IP, 30080)
    assert net.call("pod", NODE_IP, 30080) == (REMOTE_POD, POD)


def test_internal_policy_local(net: Lab) -> None:
    local = service(internalTrafficPolicy="Local")
    net.program((local, [slice_of("web", LOCAL_2, REMOTE)]))
    assert answering(net, "pod", VIP, 80) == {POD_2}
    net.program((local, [slice_of("web", REMOTE)]))
    with pytest.raises(TimeoutError):
        net.call("pod", VIP, 80)
    net.program((local, [slice_of("web")]))
    with pytest.raises(ConnectionRefusedError):
        net.call("pod", VIP, 80)


def test_source_ranges(net: Lab) -> None:
    def allowing(*ranges: str) -> None:
        balanced = service(type="LoadBalancer", ports=[port(8088, 8080, nodePort=30080)], loadBalancerSourceRanges=list(ranges), ingress=[{"ip": "203.0.113.9"}])
        net.program((balanced, [slice_of("web", LOCAL)]))

    allowing("192.168.0.0/16", "192.168.77.0/24", "10.0.0.0/24")
    assert net.call("outside", "203.0.113.9", 8088)[0] == net.call("outside", NODE_IP, 8088)[0] == POD
    allowing("10.0.0.0/24")
    for address in ("203.0.113.9", NODE_IP):
        with pytest.raises(TimeoutError):
            net.call("outside", address, 8088)
    assert net.call("outside", NODE_IP, 30080)[0] == net.call("outside", VIP, 8088)[0] == POD


def test_session_affinity(net: Lab) -> None:
    sticky = service(sessionAffinity="ClientIP", type="NodePort", ports=[port(80, 8080, nodePort=30080)])
    net.program((sticky, [slice_of("web", LOCAL, LOCAL_2, REMOTE)]))
    [kept] = answering(net, "node", VIP, 80)
    assert answering(net, "node", NODE_IP, 30080) == {kept}
    others = [one for one in (LOCAL, LOCAL_2, REMOTE) if one["addresses"] != [kept]]
    stays = next(one for one in (LOCAL, LOCAL_2, REMOTE) if one["addresses"] == [kept])
    net.program((sticky, [slice_of("web", stays, others[0])]))
    assert answering(net, "node", VIP, 80) == {kept}
    net.program((sticky, [slice_of("web", *others)]))
    assert len(answering(net, "node", VIP, 80)) == 1


def test_affinity_ends_with_its_timeout(net: Lab) -> None:
    short = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 5}})
    net.program((short, [slice_of("web", LOCAL, LOCAL_2)]))
    [kept] = answering(net, "node", VIP, 80)
    listed = net.nft("", "list", "table", "ip", "tiffin")
    assert "timeout 5s" in listed and "expires" in listed and kept


def test_udp_flows_follow_the_endpoints(net: Lab) -> None:
    udp = service(ports=[port(53, 8080, protocol="UDP")])
    ports = [{"name": "", "protocol": "UDP", "port": 8080}]
    key = FrontKey("ip", VIP, "UDP", 53)
    with net.caller("pod", UDP) as caller:
        net.program((udp, [slice_of("web", LOCAL_2, ports=ports)]))
        assert ask(caller, VIP, 53) == (POD_2, POD)
        net.program((udp, [slice_of("web", REMOTE, ports=ports)]))
        assert ask(caller, VIP, 53)[0] == POD_2  # the flow is known, and stays
        assert net.forget_flows({key: frozenset({Target(POD_2, 8080)})}) == 0
        assert net.forget_flows({key: frozenset({Target(REMOTE_POD, 8080)})}) == 1
        assert ask(caller, VIP, 53)[0] == REMOTE_POD


def test_a_table_reads_back_as_it_was_written(net: Lab) -> None:
    services = [
        (service("a", "10.96.0.21"), [slice_of("a", LOCAL, LOCAL_2, REMOTE)]),
        (service("b", "10.96.0.22", type="LoadBalancer", ports=[port(8088, 8080, nodePort=30080)], ingress=[{"ip": "203.0.113.9"}], loadBalancerSourceRanges=["10.0.0.0/8", "192.0.2.1/32"]), [slice_of("b", LOCAL)]),
        (service("c", "10.96.0.23", type="NodePort", sessionAffinity="ClientIP", externalTrafficPolicy="Local", ports=[port(80, 8080, nodePort=30081)]), [slice_of("c", LOCAL, REMOTE)]),
        (service("d", "10.96.0.24", ports=[port(5060, 8080, protocol="SCTP")], externalIPs=["203.0.113.5"]), [slice_of("d", REMOTE, ports=[{"name": "", "protocol": "SCTP", "port": 8080}])]),
        (service("e", "10.96.0.25", internalTrafficPolicy="Local"), [slice_of("e", REMOTE)]),
    ]
    net.program(*services)
    listed = nftables.parsed(net.nft("", "-j", "list", "table", "ip", "tiffin").encode())
    contents = net.ledger.contents()
    actual = nftables.items("ip", listed, contents)
    assert actual is not None
    changes = difference(actual, {item: content for item, content in contents.items() if item.family == "ip"})
    assert not changes, changes


def test_ipv6_is_accepted(net: Lab) -> None:
    v6 = service(ip="fd00::20", type="LoadBalancer", sessionAffinity="ClientIP", ports=[port(80, 8080, nodePort=30080)], loadBalancerSourceRanges=["fd01::/64"], ingress=[{"ip": "fd02::9"}])
    plain = service("plain", "fd00::21", externalTrafficPolicy="Local", externalIPs=["fd02::5"])
    for made in (v6, plain):
        name = made["metadata"]["name"]
        net.ledger.replace(("service", name), plan(made, [slice_of(name, endpoint("fd03::1", HERE), endpoint("fd03::2"), family="IPv6")], NODE, CONFIG).items)
    net.nft(nftables.made_anew("ip6", net.ledger.contents()))
    listed = nftables.parsed(net.nft("", "-j", "list", "table", "ip6", "tiffin").encode())
    contents = {item: content for item, content in net.ledger.contents().items() if item.family == "ip6"}
    assert difference(nftables.items("ip6", listed, contents) or {}, contents) == nftables.Changes()
    for name in ("web", "plain"):
        net.ledger.replace(("service", name), {})
    net.ledger.take()
    net.nft("table ip6 tiffin { }\ndelete table ip6 tiffin\n")


def test_a_neighbour_does_not_reach_the_nodes_loopback(net: Lab) -> None:
    """CVE-2020-8558: with `route_localnet` the kernel itself would let it in."""
    net.program()
    for interface in ("eth0", "cni0"):
        net.inside("node", lambda interface=interface: Path(f"/proc/sys/net/ipv4/conf/{interface}/route_localnet").write_text("1"))  # type: ignore[misc]
    with net.inside("node", lambda: socket.socket(socket.AF_INET, UDP)) as secret:
        secret.bind(("127.0.0.1", 9999))
        secret.settimeout(0.3)
        for where in ("outside", "pod"):
            net.inside(where, lambda where=where: _send_to_loopback(9999, NODE_IP if where == "outside" else "10.244.1.1"))  # type: ignore[misc]
        with pytest.raises(TimeoutError):
            secret.recv(100)
        net.nft("delete chain ip tiffin guard")
        net.inside("outside", lambda: _send_to_loopback(9999, NODE_IP))
        assert secret.recv(100) == b"knock"  # so the rule it was
    net.nft(nftables.made_anew("ip", net.ledger.contents()))


def test_a_pod_does_not_pass_for_somebody_elsewhere(net: Lab) -> None:
    """A policy goes by the sender's address: a pod that could choose it would get in wherever anybody may."""
    net.program()
    with net.inside("pod-2", lambda: socket.socket(socket.AF_INET, UDP)) as target:
        target.bind((POD_2, 9999))
        target.settimeout(0.3)
        for forged in (REMOTE_POD, OUTSIDE, NODE_IP, "8.8.8.8"):
            net.inside("pod", lambda forged=forged: _send_as(forged, POD_2, 9999))  # type: ignore[misc]
        with pytest.raises(TimeoutError):
            target.recv(100)
        net.inside("pod", lambda: _send_as(POD, POD_2, 9999))
        assert target.recvfrom(100)[1][0] == POD
        net.inside("outside", lambda: _send_as(REMOTE_POD, POD_2, 9999))
        assert target.recvfrom(100)[1][0] == REMOTE_POD
        net.nft("delete chain ip tiffin guard")
        net.inside("pod", lambda: _send_as(REMOTE_POD, POD_2, 9999))
        assert target.recvfrom(100)[1][0] == REMOTE_POD  # so the rule it was
    net.nft(nftables.made_anew("ip", net.ledger.contents()))


def _send_as(source: str, target: str, number: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(_packet(source, target, number), (target, 0))


def _packet(source: str, target: str, number: int) -> bytes:
    datagram = struct.pack("!HHHH", 4000, number, 8 + 5, 0) + b"knock"
    ends = socket.inet_aton(source), socket.inet_aton(target)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, socket.IPPROTO_UDP, 0, *ends)
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + datagram


def _send_to_loopback(number: int, gateway: str) -> None:
    """A frame to the gateway's hardware address with a packet to 127.0.0.1 in it."""
    with socket.socket(socket.AF_INET, UDP) as first:
        first.sendto(b"", (gateway, 9))  # so that its hardware address is known
    rows = Path("/proc/thread-self/net/arp").read_text().splitlines()[1:]
    hardware = next(bytes.fromhex(row.split()[3].replace(":", "")) for row in rows if row.split()[0] == gateway)
    packet = _packet(OUTSIDE if gateway == NODE_IP else POD, "127.0.0.1", number)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0x0800))
        raw.send(hardware + raw.getsockname()[4] + b"\x08\x00" + packet)


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
