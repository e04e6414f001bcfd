"""UDP flows that connection tracking still sends to where a service no longer leads.

A UDP client has no connection to lose: while it goes on sending from one port, the kernel goes on sending to the endpoint it chose
first, also when that endpoint is gone, or nowhere at all when there was none. Such flows are forgotten, and the next packet is
decided anew. Netlink by hand, since the library for it would take 24 MB of every node's agent for these two messages.

Source: linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h.
"""
from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tiffin.proxy.endpoints import Target
from tiffin.proxy.plan import FrontKey

_NETLINK_NETFILTER = 12
_GET, _DELETE = 0x101, 0x102
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_ORIGINAL, _REPLY, _ZONE = 1, 2, 18
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_V4_SRC, _V4_DST, _V6_SRC, _V6_DST = 1, 2, 3, 4
_PROTO_NUM, _PROTO_SRC, _PROTO_DST = 1, 2, 3
_TYPE = 0x3FFF
_FAMILIES = {"ip": socket.AF_INET, "ip6": socket.AF_INET6}
_ENOENT = 2
_BUFFER = 1 << 20

Wanted = Mapping[FrontKey, frozenset[Target]]


class Flow(NamedTuple):
    """Where a client sends, and who answers it; `handle` is what names the flow to the kernel."""

    sent_to: Target
    answered_by: Target
    handle: bytes


def forget_stale(wanted: Wanted) -> int:
    """Forgets the UDP flows to these fronts that lead to none of their targets, and answers how many. Blocks for some milliseconds;
    raises `OSError`."""
    count = 0
    for family in {key.family for key in wanted}:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
            netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            stale = [flow for flow in _flows(netlink, family) if is_stale(flow, family, wanted)]
            for flow in stale:
                _delete(netlink, family, flow)
            count += len(stale)
    return count


def is_stale(flow: Flow, family: str, wanted: Wanted) -> bool:
    """Whether the flow is to one of the fronts and leads elsewhere. A packet to a node's port is any flow to that port that was sent on."""
    by_address = wanted.get(FrontKey(family, flow.sent_to.ip, "UDP", flow.sent_to.port))
    if by_address is not None:
        return flow.answered_by not in by_address
    by_port = wanted.get(FrontKey(family, "", "UDP", flow.sent_to.port))
    return by_port is not None and flow.answered_by != flow.sent_to and flow.answered_by not in by_port


def _flows(netlink: socket.socket, family: str) -> Iterator[Flow]:
    netlink.sendall(_message(_GET, _REQUEST | _DUMP, family))
    while True:
        for kind, payload in _messages(netlink.recv(_BUFFER)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                _check(payload)
                return
            if flow := _flow(payload[4:]):
                yield flow


def _delete(netlink: socket.socket, family: str, flow: Flow) -> None:
    netlink.sendall(_message(_DELETE, _REQUEST | _ACK, family, flow.handle))
    for kind, payload in _messages(netlink.recv(_BUFFER)):
        if kind == _ERROR:
            _check(payload, _ENOENT)


def _check(payload: bytes, *expected: int) -> None:
    number = -struct.unpack_from("=i", payload)[0]
    if number and number not in expected:
        raise OSError(number, "connection tracking refused")


def _flow(attributes: bytes) -> Flow | None:
    found = dict(_attributes(attributes))
    original = _tuple(found.get(_ORIGINAL, b""))
    reply = _tuple(found.get(_REPLY, b""))
    if original is None or reply is None:
        return None
    handle = _attribute(_ORIGINAL | 0x8000, found[_ORIGINAL])
    if _ZONE in found:
        handle += _attribute(_ZONE, found[_ZONE])
    return Flow(original[1], reply[0], handle)


def _tuple(attributes: bytes) -> tuple[Target, Target] | None:
    """Source and destination of a UDP tuple; None for other protocols."""
    parts = dict(_attributes(attributes))
    proto = dict(_attributes(parts.get(_TUPLE_PROTO, b"")))
    if proto.get(_PROTO_NUM) != bytes([socket.IPPROTO_UDP]):
        return None
    address = dict(_attributes(parts.get(_TUPLE_IP, b"")))
    family, source, destination = (socket.AF_INET, _V4_SRC, _V4_DST) if _V4_SRC in address else (socket.AF_INET6, _V6_SRC, _V6_DST)
    ports = [int.from_bytes(proto.get(which, b""), "big") for which in (_PROTO_SRC, _PROTO_DST)]
    return Target(socket.inet_ntop(family, address[source]), ports[0]), Target(socket.inet_ntop(family, address[destination]), ports[1])


def _message(kind: int, flags: int, family: str, attributes: bytes = b"") -> bytes:
    body = struct.pack("=BBH", _FAMILIES[family], 0, 0) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        yield kind, data[offset + 16:offset + length]
        offset += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        yield kind & _TYPE, data[offset + 4:offset + length]
        offset += max((length + 3) & ~3, 4)
