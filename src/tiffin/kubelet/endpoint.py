"""The node's pods as its HTTPS port sees them: the `Node` of `streams.py`, over the workers and the runtime."""
from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from tiffin.kubelet import logs
from tiffin.kubelet.run import Kubelet, PodNotFoundError
from tiffin.kubelet.runtime import RuntimeFault
from tiffin.kubelet.streams import LogOptions
from tiffin.machinery.errors import ApiError, bad_request, internal_error
from tiffin.machinery.object import Object, name_of, namespace_of, uid_of
from tiffin.net.remotecommand import Streams


def _translated(fault: RuntimeFault) -> Exception:
    """A runtime's failure as the answer to a request."""
    return ConnectionError(fault.text) if fault.is_unreachable else internal_error(fault.text)


class Endpoint:
    """What the node's port asks of the agent."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet, self._runtime = kubelet, kubelet.node.runtime

    def pods(self) -> Sequence[Object]:
        return self._kubelet.pods()

    def pod(self, namespace: str, name: str) -> Object | None:
        try:
            return self._kubelet.worker(namespace, name).state().pod
        except PodNotFoundError:
            return None

    def running_container(self, pod: Object, container: str) -> str:
        run = self._kubelet.worker(namespace_of(pod), name_of(pod), uid_of(pod)).runtime.latest(container)
        return run.id if run and run.is_running else ""

    def sandbox(self, pod: Object) -> str:
        found = self._kubelet.worker(namespace_of(pod), name_of(pod), uid_of(pod)).runtime.sandbox
        return found.id if found and found.ready else ""

    async def exec_url(self, container_id: str, command: Sequence[str], streams: Streams) -> str:
        try:
            return await self._runtime.exec_url(container_id, command, tty=streams.tty, stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr)
        except RuntimeFault as fault:
            raise _translated(fault) from fault

    async def attach_url(self, container_id: str, streams: Streams) -> str:
        try:
            return await self._runtime.attach_url(container_id, tty=streams.tty, stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr)
        except RuntimeFault as fault:
            raise _translated(fault) from fault

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        try:
            return await self._runtime.port_forward_url(sandbox_id, ports)
        except RuntimeFault as fault:
            raise _translated(fault) from fault

    async def log(self, pod: Object, container: str, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        worker = self._kubelet.worker(namespace_of(pod), name_of(pod), uid_of(pod))
        run = worker.runtime.find(container_id)
        if run is None or not run.log_path:
            raise bad_request(f'container "{container}" in pod "{name_of(pod)}" is not available')
        root, path = self._kubelet.node.config.pod_log_dir, Path(run.log_path)
        wanted = logs.Wanted(options.tail_lines, options.since, options.limit_bytes, options.timestamps, options.stream)
        lines = logs.follow(root, path, wanted, lambda: worker.until_ended(container_id)) if options.follow else logs.read(root, path, wanted)
        try:
            async for line in lines:
                yield line
        except logs.LogFault as fault:
            raise ApiError(500, "InternalError", str(fault)) from fault
