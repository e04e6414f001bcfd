"""The cluster's DNS address as an address of the node, on its loopback interface, by rtnetlink.

Made so that making it again changes nothing, and removed when the node leaves its machine. It has host scope: nothing ever leaves the node with it as source by chance. (pyroute2 would
cost the agent 13 MB for one message.)
"""
from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import ip_address

_NEWADDR, _DELADDR, _ERROR = 20, 21, 2
_REQUEST, _ACK, _CREATE, _REPLACE = 0x1, 0x4, 0x400, 0x100
_ADDRESS, _LOCAL = 1, 2
_NO_DUPLICATE_CHECK, _HOST = 0x02, 254
_MESSAGE = struct.Struct("=IHHII")
_BODY = struct.Struct("=BBBBi")
_ATTRIBUTE = struct.Struct("=HH")


def add(address: str) -> None:
    """Raises OSError, PermissionError without the right to."""
    _ask(_NEWADDR, _CREATE | _REPLACE, address)


def remove(address: str) -> None:
    """Nothing happens when it is not there. Raises OSError."""
    try:
        _ask(_DELADDR, 0, address)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise


def _ask(what: int, flags: int, address: str) -> None:
    """One change, and the kernel's word that it is done."""
    packed = ip_address(address).packed
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    body = _BODY.pack(family, 8 * len(packed), _NO_DUPLICATE_CHECK, _HOST, socket.if_nametoindex("lo"))
    body += b"".join(_ATTRIBUTE.pack(4 + len(packed), kind) + packed for kind in (_LOCAL, _ADDRESS))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        kernel.send(_MESSAGE.pack(_MESSAGE.size + len(body), what, _REQUEST | _ACK | flags, 1, 0) + body)
        answer = kernel.recv(4096)
    _, kind, *_ = _MESSAGE.unpack_from(answer)
    error = -struct.unpack_from("=i", answer, _MESSAGE.size)[0] if kind == _ERROR else 0
    if error:
        raise OSError(error, f"address {address}: {os.strerror(error)}")
