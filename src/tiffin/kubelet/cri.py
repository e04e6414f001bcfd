"""The runtime port over gRPC: CRI v1 on a unix socket, with events pushed by whatever means the runtime has.

Invariants:
* Calls that wait on people or networks (stop, pull) have deadlines of their own; all others end within `CALL_TIMEOUT`.
* Events: CRI's own stream where it is implemented, else containerd's (task exit and oom), else a look at everything every
  `FALLBACK_INTERVAL`. An exit as told by containerd carries its code, so nothing has to be asked again.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc.aio

from tiffin.kubelet import runtime as port
from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.proto import events_pb2
from tiffin.kubelet.runtime import ContainerEnded, Happening, RuntimeFault, RuntimeInfo, Unsure
from tiffin.kubelet.state import Container, ContainerState, Sandbox

log = logging.getLogger(__name__)

CALL_TIMEOUT = 120.0
PULL_TIMEOUT = 600.0
FALLBACK_INTERVAL = 5.0
RECONNECT_AFTER = 1.0
MESSAGE_LIMIT = 16 * 1024 * 1024
_STATES = {0: ContainerState.CREATED, 1: ContainerState.RUNNING, 2: ContainerState.EXITED, 3: ContainerState.UNKNOWN}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TASK_EVENTS = ('topic=="/tasks/exit"', 'topic=="/tasks/oom"')


def moment(nanoseconds: int) -> datetime:
    """CRI's nanoseconds since 1970 as a moment."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def sandbox_of(item: cri.PodSandbox | cri.PodSandboxStatus) -> Sandbox:
    """A sandbox from a list (no addresses) or from its status."""
    ips: tuple[str, ...] = ()
    if isinstance(item, cri.PodSandboxStatus) and item.network.ip:
        ips = (item.network.ip, *(extra.ip for extra in item.network.additional_ips))
    ready = item.state == cri.SANDBOX_READY
    host = item.annotations.get(port.HOST_NETWORK) == "true"
    return Sandbox(item.id, item.metadata.attempt, ready, moment(item.created_at), ips, host, dict(item.labels))


def container_of(item: cri.ContainerStatus, sandbox_id: str) -> Container:
    """A container from its status; CRI leaves the sandbox out of it."""
    annotations = dict(item.annotations)
    return Container(
        id=item.id, name=item.labels.get(port.CONTAINER_NAME) or item.metadata.name, sandbox_id=sandbox_id,
        attempt=int(annotations.get(port.RESTART_COUNT) or item.metadata.attempt), state=_STATES[item.state],
        created_at=moment(item.created_at), started_at=moment(item.started_at) if item.started_at else None,
        finished_at=moment(item.finished_at) if item.finished_at else None, exit_code=item.exit_code,
        reason=item.reason, message=item.message, image=item.image.image, image_ref=item.image_ref,
        spec_hash=annotations.get(port.CONTAINER_HASH, ""), log_path=item.log_path, labels=dict(item.labels), annotations=annotations,
    )


class CriRuntime:
    """A runtime behind a unix socket. It does not fail while the socket is missing; calls do."""

    def __init__(self, socket: str) -> None:
        options = [("grpc.max_receive_message_length", MESSAGE_LIMIT), ("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 2000), ("grpc.initial_reconnect_backoff_ms", 100)]
        self._channel = grpc.aio.insecure_channel(f"unix://{socket}", options=options)
        self._methods: dict[str, Callable[..., Any]] = {}
        self._name = ""

    async def close(self) -> None:
        await self._channel.close()

    async def _call(self, method: str, request: Any, answer: Any, timeout: float = CALL_TIMEOUT) -> Any:
        """One unary call of the RuntimeService or, with a leading `Image/`, of the ImageService."""
        call = self._methods.get(method)
        if call is None:
            service, _, name = method.rpartition("/")
            path = f"/runtime.v1.{service or 'Runtime'}Service/{name}"
            call = self._channel.unary_unary(path, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString)
            self._methods[method] = call
        try:
            return await call(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise RuntimeFault(error.code().name, error.details() or "") from error

    # ---- about the runtime

    async def info(self) -> RuntimeInfo:
        version, status = await asyncio.gather(
            self._call("Version", cri.VersionRequest(), cri.VersionResponse, 10), self._call("Status", cri.StatusRequest(), cri.StatusResponse, 10)
        )
        self._name = version.runtime_name
        conditions = {c.type: (c.status, c.reason, c.message) for c in status.status.conditions}
        return RuntimeInfo(version.runtime_name, version.runtime_version, conditions)

    async def set_pod_cidr(self, cidr: str) -> None:
        config = cri.RuntimeConfig(network_config=cri.NetworkConfig(pod_cidr=cidr))
        await self._call("UpdateRuntimeConfig", cri.UpdateRuntimeConfigRequest(runtime_config=config), cri.UpdateRuntimeConfigResponse)

    # ---- sandboxes

    async def sandboxes(self) -> Sequence[Sandbox]:
        answer = await self._call("ListPodSandbox", cri.ListPodSandboxRequest(), cri.ListPodSandboxResponse)
        return [sandbox_of(item) for item in answer.items]

    async def run_sandbox(self, config: cri.PodSandboxConfig, handler: str = "") -> str:
        answer = await self._call("RunPodSandbox", cri.RunPodSandboxRequest(config=config, runtime_handler=handler), cri.RunPodSandboxResponse, 240)
        return answer.pod_sandbox_id

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        answer = await self._call("PodSandboxStatus", cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id), cri.PodSandboxStatusResponse)
        return sandbox_of(answer.status)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._call("StopPodSandbox", cri.StopPodSandboxRequest(pod_sandbox_id=sandbox_id), cri.StopPodSandboxResponse)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._call("RemovePodSandbox", cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id), cri.RemovePodSandboxResponse)

    # ---- containers

    async def containers(self) -> Sequence[Container]:
        answer = await self._call("ListContainers", cri.ListContainersRequest(), cri.ListContainersResponse)
        found = await asyncio.gather(*(self._container(item.id, item.pod_sandbox_id) for item in answer.containers), return_exceptions=True)
        for result in found:
            if isinstance(result, BaseException) and not (isinstance(result, RuntimeFault) and result.is_missing):
                raise result
        return [result for result in found if isinstance(result, Container)]

    async def container(self, container_id: str, sandbox_id: str = "") -> Container:
        if sandbox_id:
            return await self._container(container_id, sandbox_id)
        answer = await self._call("ListContainers", cri.ListContainersRequest(filter=cri.ContainerFilter(id=container_id)), cri.ListContainersResponse)
        if not answer.containers:
            raise RuntimeFault("NOT_FOUND", f'container "{container_id}": not found')
        return await self._container(container_id, answer.containers[0].pod_sandbox_id)

    async def _container(self, container_id: str, sandbox_id: str) -> Container:
        answer = await self._call("ContainerStatus", cri.ContainerStatusRequest(container_id=container_id), cri.ContainerStatusResponse)
        return container_of(answer.status, sandbox_id)

    async def create_container(self, sandbox_id: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig) -> str:
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config)
        return (await self._call("CreateContainer", request, cri.CreateContainerResponse)).container_id

    async def start_container(self, container_id: str) -> None:
        await self._call("StartContainer", cri.StartContainerRequest(container_id=container_id), cri.StartContainerResponse)

    async def stop_container(self, container_id: str, grace: int) -> None:
        await self._call("StopContainer", cri.StopContainerRequest(container_id=container_id, timeout=grace), cri.StopContainerResponse, grace + CALL_TIMEOUT)

    async def remove_container(self, container_id: str) -> None:
        await self._call("RemoveContainer", cri.RemoveContainerRequest(container_id=container_id), cri.RemoveContainerResponse)

    async def reopen_log(self, container_id: str) -> None:
        await self._call("ReopenContainerLog", cri.ReopenContainerLogRequest(container_id=container_id), cri.ReopenContainerLogResponse)

    # ---- streams

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> tuple[int, bytes, bytes]:
        request = cri.ExecSyncRequest(container_id=container_id, cmd=command, timeout=max(int(timeout), 1) if timeout else 0)
        try:
            answer = await self._call("ExecSync", request, cri.ExecSyncResponse, timeout + 5 if timeout else CALL_TIMEOUT)
        except RuntimeFault as fault:
            if fault.code == "DEADLINE_EXCEEDED" or "timeout" in fault.text:
                raise TimeoutError(f'command "{" ".join(command)}" timed out') from fault
            raise
        return answer.exit_code, answer.stdout, answer.stderr

    async def exec_url(self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        request = cri.ExecRequest(container_id=container_id, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return (await self._call("Exec", request, cri.ExecResponse)).url

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        request = cri.AttachRequest(container_id=container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return (await self._call("Attach", request, cri.AttachResponse)).url

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        request = cri.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        return (await self._call("PortForward", request, cri.PortForwardResponse)).url

    # ---- images

    async def image_status(self, image: str) -> cri.Image | None:
        answer = await self._call("Image/ImageStatus", cri.ImageStatusRequest(image=cri.ImageSpec(image=image)), cri.ImageStatusResponse)
        return answer.image if answer.HasField("image") and answer.image.id else None

    async def images(self) -> Sequence[cri.Image]:
        return (await self._call("Image/ListImages", cri.ListImagesRequest(), cri.ListImagesResponse)).images

    async def pull_image(self, image: str, auth: cri.AuthConfig | None, sandbox_config: cri.PodSandboxConfig) -> str:
        request = cri.PullImageRequest(image=cri.ImageSpec(image=image), auth=auth, sandbox_config=sandbox_config)
        return (await self._call("Image/PullImage", request, cri.PullImageResponse, PULL_TIMEOUT)).image_ref

    async def remove_image(self, image: str) -> None:
        await self._call("Image/RemoveImage", cri.RemoveImageRequest(image=cri.ImageSpec(image=image)), cri.RemoveImageResponse)

    async def image_fs(self) -> Sequence[cri.FilesystemUsage]:
        return (await self._call("Image/ImageFsInfo", cri.ImageFsInfoRequest(), cri.ImageFsInfoResponse)).image_filesystems

    async def stats(self) -> Sequence[cri.ContainerStats]:
        return (await self._call("ListContainerStats", cri.ListContainerStatsRequest(), cri.ListContainerStatsResponse)).stats

    # ---- events

    async def events(self) -> AsyncIterator[Happening]:
        sources = [self._cri_events, self._containerd_events, self._regular_looks]
        while True:
            try:
                async for happening in sources[0]():
                    yield happening
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    sources.pop(0)
                    continue
                log.warning("the runtime's events ended: %s", error.details())
            await asyncio.sleep(RECONNECT_AFTER)  # the socket of a runtime that restarts comes back unannounced

    async def _cri_events(self) -> AsyncIterator[Happening]:
        """CRI's own stream. A runtime that knows the call but has it switched off ends it at once with an error."""
        path = "/runtime.v1.RuntimeService/GetContainerEvents"
        call = self._channel.unary_stream(path, request_serializer=cri.GetEventsRequest.SerializeToString, response_deserializer=cri.ContainerEventResponse.FromString)
        stream = call(cri.GetEventsRequest(), wait_for_ready=True)
        yield Unsure()
        async for event in stream:
            if event.container_event_type == cri.CONTAINER_STOPPED_EVENT:
                status = next((s for s in event.containers_statuses if s.id == event.container_id), None)
                if status is None:
                    yield Unsure()
                else:
                    yield ContainerEnded(status.id, status.exit_code, moment(status.finished_at), status.reason == "OOMKilled")

    async def _containerd_events(self) -> AsyncIterator[Happening]:
        """containerd's own stream. Out-of-memory is told before the exit it causes."""
        path = "/containerd.services.events.v1.Events/Subscribe"
        call = self._channel.unary_stream(path, request_serializer=events_pb2.SubscribeRequest.SerializeToString, response_deserializer=events_pb2.Envelope.FromString)
        stream = call(events_pb2.SubscribeRequest(filters=_TASK_EVENTS), wait_for_ready=True)
        starved: set[str] = set()
        yield Unsure()
        async for envelope in stream:
            if envelope.topic == "/tasks/oom":
                starved.add(events_pb2.TaskOOM.FromString(envelope.event.value).container_id)
                continue
            event = events_pb2.TaskExit.FromString(envelope.event.value)
            if event.id == event.container_id:
                at = moment(event.exited_at.seconds * 10**9 + event.exited_at.nanos)
                yield ContainerEnded(event.container_id, event.exit_status, at, event.container_id in starved)
                starved.discard(event.container_id)

    async def _regular_looks(self) -> AsyncIterator[Happening]:
        """For runtimes that tell nothing."""
        while True:
            yield Unsure()
            await asyncio.sleep(FALLBACK_INTERVAL)
