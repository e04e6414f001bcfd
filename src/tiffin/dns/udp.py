"""Questions and answers over UDP.

Python has no recvmmsg: each time the socket is readable it is read until it is empty, but not for ever, since the kubelet shares the loop.
"""
from __future__ import annotations

import asyncio
import logging
import socket
from functools import partial

from tiffin.dns.answers import Answers
from tiffin.dns.metrics import Metrics
from tiffin.dns.service import Service
from tiffin.dns.sources import Sources

log = logging.getLogger(__name__)

BURST = 64
"""Packets read before others have their turn."""
LARGEST = 2048
RECEIVE_BUFFER = 1024 * 1024
"""Bytes of packets that wait while the loop is busy elsewhere: some thousand questions."""


class UdpServer:
    """One bound, non-blocking socket."""

    def __init__(self, bound: socket.socket, answers: Answers, service: Service, sources: Sources, metrics: Metrics) -> None:
        self._socket, self._answers, self._service, self._sources, self._metrics = bound, answers, service, sources, metrics

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _readable(self) -> None:
        receive, kept, allowed = self._socket.recvfrom, self._answers.kept, self._sources.allowed
        for _ in range(BURST):
            try:
                data, source = receive(LARGEST)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP message about an answer of before
                log.debug("udp: %s", error)
                continue
            if not allowed(source[0]):
                self._metrics.dropped["source"] += 1
            elif (answer := kept(data)) is not None:
                self._send(source, answer)
            else:
                self._take(data, source)

    def _take(self, data: bytes, source: tuple[str, int]) -> None:
        try:
            self._service.handle(data, source[0], stream=False, send=partial(self._send, source))
        except Exception:
            # A fault of ours with one question must not keep the others waiting.
            log.exception("the question %s of %s was not answered", data.hex(), source[0])

    def _send(self, source: tuple[str, int], answer: bytes) -> None:
        try:
            self._socket.sendto(answer, source)
        except OSError as error:  # full buffers, or an asker that has gone
            self._metrics.dropped["send"] += 1
            log.debug("udp to %s: %s", source[0], error)


def bind(address: str, port: int) -> socket.socket:
    """Raises OSError."""
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound
