"""A node agent for the tests of its port: pods in a dictionary, a fake runtime, an API server that reviews."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.net.fake_runtime import FakeRuntime
from tiffin.kubelet.streams import LogOptions
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, dig, name_of, namespace_of
from tiffin.net.remotecommand import Streams


def pod(name: str = "p", containers: Sequence[str] = ("c",), **status: Any) -> Object:
    """A pod on node n whose containers run."""
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "d", "uid": f"uid-{name}"},
        "spec": {"nodeName": "n", "containers": [{"name": c} for c in containers]},
        "status": {"containerStatuses": [{"name": c, "containerID": f"containerd://{c}", "state": {"running": {}}} for c in containers], **status},
    }  # fmt: skip


@dataclass
class FakeNode:
    """Implements `streams.Node`: commands name the fake runtime's command; a log is its `lines`, `follow` never ends."""

    runtime: FakeRuntime
    known: list[Object] = field(default_factory=lambda: [pod()])
    lines: list[bytes] = field(default_factory=lambda: [b"one\n", b"two\n"])
    asked: list[Any] = field(default_factory=list)
    log_fault: ApiError | None = None
    log_closed: asyncio.Event = field(default_factory=asyncio.Event)

    def pods(self) -> Sequence[Object]:
        return self.known

    def pod(self, namespace: str, name: str) -> Object | None:
        return next((p for p in self.known if (namespace_of(p), name_of(p)) == (namespace, name)), None)

    def running_container(self, pod: Object, container: str) -> str:
        statuses = dig(pod, "status", "containerStatuses", default=[])
        return next((s["name"] for s in statuses if s["name"] == container and dig(s, "state", "running") is not None), "")

    def sandbox(self, pod: Object) -> str:
        return f"sandbox-{name_of(pod)}" if dig(pod, "status", "containerStatuses") else ""

    async def exec_url(self, container_id: str, command: Sequence[str], streams: Streams) -> str:
        self.asked.append(("exec", container_id, list(command), streams))
        return self._url(command[0], streams)

    async def attach_url(self, container_id: str, streams: Streams) -> str:
        self.asked.append(("attach", container_id, streams))
        return self._url("cat", streams)

    def _url(self, command: str, streams: Streams) -> str:
        return self.runtime.exec_url(command, stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr, tty=streams.tty)

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        self.asked.append(("portforward", sandbox_id, list(ports)))
        return self.runtime.port_forward_url

    async def log(self, pod: Object, container: str, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        self.asked.append(("log", container_id, options))
        if self.log_fault is not None:
            raise self.log_fault
        try:
            for line in self.lines:
                yield line
            if options.follow:
                await asyncio.Event().wait()
        finally:
            self.log_closed.set()


class Reviewer:
    """The reviews of an API server: tokens by user name, and what each user may do as (verb, subresource)."""

    def __init__(self, tokens: dict[str, str], rights: dict[str, set[tuple[str, str]]]) -> None:
        self.tokens, self.rights = tokens, rights
        self.reviews: list[Object] = []
        self.fault: Exception | None = None
        self.hold: asyncio.Event | None = None

    async def create(self, resource: Resource, namespace: str, obj: Object, *, name: str = "", subresource: str = "") -> Object:
        self.reviews.append(obj)
        if self.hold is not None:
            await self.hold.wait()
        if self.fault is not None:
            raise self.fault
        if resource.plural == "tokenreviews":
            user = self.tokens.get(obj["spec"]["token"])
            return {"status": {"authenticated": True, "user": {"username": user}} if user else {"error": "invalid"}}
        spec = obj["spec"]
        asked = (spec["resourceAttributes"]["verb"], spec["resourceAttributes"]["subresource"])
        return {"status": {"allowed": asked in self.rights.get(spec["user"], set())}}


ADMIN = {"admin": {(verb, sub) for verb in ("get", "create") for sub in ("proxy", "metrics", "stats", "pods", "healthz")}}

