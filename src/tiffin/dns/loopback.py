"""The cluster's DNS address as an address of the node, on its loopback interface, by rtnetlink.

Made so that making it again changes nothing. It has host scope: nothing ever leaves the node with it as source by chance. (pyroute2 would
cost the agent 13 MB for one message.)
"""
from __future__ import annotations

import os
import socket
import struct
from ipaddress import ip_address

_NEWADDR, _ERROR = 20, 2
_REQUEST, _ACK, _CREATE, _REPLACE = 0x1, 0x4, 0x400, 0x100
_ADDRESS, _LOCAL = 1, 2
_NO_DUPLICATE_CHECK, _HOST = 0x02, 254
_MESSAGE = struct.Struct("=IHHII")
_BODY = struct.Struct("=BBBBi")
_ATTRIBUTE = struct.Struct("=HH")


def add(address: str) -> None:
    """Raises OSError, PermissionError without the right to."""
    packed = ip_address(address).packed
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    body = _BODY.pack(family, 8 * len(packed), _NO_DUPLICATE_CHECK, _HOST, socket.if_nametoindex("lo"))
    body += b"".join(_ATTRIBUTE.pack(4 + len(packed), kind) + packed for kind in (_LOCAL, _ADDRESS))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        kernel.send(_MESSAGE.pack(_MESSAGE.size + len(body), _NEWADDR, _REQUEST | _ACK | _CREATE | _REPLACE, 1, 0) + body)
        answer = kernel.recv(4096)
    _, kind, *_ = _MESSAGE.unpack_from(answer)
    error = -struct.unpack_from("=i", answer, _MESSAGE.size)[0] if kind == _ERROR else 0
    if error:
        raise OSError(error, f"address {address}: {os.strerror(error)}")
