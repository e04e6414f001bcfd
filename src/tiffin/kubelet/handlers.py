"""The four handlers of probes and hooks: exec, httpGet, tcpSocket, grpc (and sleep, for hooks)."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiffin.kubelet import web
from tiffin.kubelet.runtime import Runtime, RuntimeFault
from tiffin.machinery.object import Object

OUTPUT_LIMIT = 10 * 1024


class HandlerFault(Exception):
    """The handler says no, or cannot be asked; the text follows "probe failed: "."""


def port_number(container: Object, port: int | str) -> int:
    """The number of a port given by number or by name. Raises HandlerFault."""
    if isinstance(port, int):
        return port
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return declared["containerPort"]
    if port.isdigit():
        return int(port)
    raise HandlerFault(f"couldn't find port: {port}")


async def run(handler: Mapping[str, Any], container: Object, container_id: str, address: str, runtime: Runtime, timeout: float) -> None:
    """Ask a handler; returning means yes. Raises HandlerFault."""
    try:
        if action := handler.get("exec"):
            await _exec(action.get("command") or [], container_id, runtime, timeout)
        elif action := handler.get("httpGet"):
            await _http(action, container, address, timeout)
        elif action := handler.get("tcpSocket"):
            await web.connect(action.get("host") or address, port_number(container, action["port"]), timeout)
        elif action := handler.get("grpc"):
            await _grpc(action, address, timeout)
        else:
            raise HandlerFault("missing probe handler")
    except (web.WebFault, RuntimeFault) as error:
        raise HandlerFault(str(error)) from error


async def _exec(command: list[str], container_id: str, runtime: Runtime, timeout: float) -> None:
    try:
        code, out, err = await runtime.exec_sync(container_id, command, timeout)
    except TimeoutError as error:
        raise HandlerFault(f"command timed out: {error}") from error
    if code:
        raise HandlerFault((out + err)[:OUTPUT_LIMIT].decode(errors="replace"))


async def _http(action: Mapping[str, Any], container: Object, address: str, timeout: float) -> None:
    port = port_number(container, action["port"])
    reply = await web.get(action.get("scheme") or "HTTP", action.get("host") or address, port, action.get("path") or "/", action.get("httpHeaders") or (), timeout)
    if not 200 <= reply.status < 400:
        raise HandlerFault(f"HTTP probe failed with statuscode: {reply.status}")


async def _grpc(action: Mapping[str, Any], address: str, timeout: float) -> None:
    """The gRPC health check."""
    import grpc
    import grpc.aio

    from tiffin.kubelet.proto import events_pb2 as health

    target = f"{address}:{action['port']}"
    async with grpc.aio.insecure_channel(target, options=[("grpc.primary_user_agent", web.USER_AGENT), ("grpc.enable_http_proxy", 0)]) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=health.HealthCheckRequest.SerializeToString,
            response_deserializer=health.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health.HealthCheckRequest(service=action.get("service") or ""), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise HandlerFault(_grpc_words(error, target, timeout)) from error
    if answer.status != health.HealthCheckResponse.SERVING:
        raise HandlerFault(f'service unhealthy (responded with "{health.HealthCheckResponse.ServingStatus.Name(answer.status)}")')


def _grpc_words(error: Any, target: str, timeout: float) -> str:
    match error.code().name:
        case "UNIMPLEMENTED":
            return "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        case "DEADLINE_EXCEEDED" | "UNAVAILABLE":
            return f'error: failed to connect service "{target}" within {timeout:g}s: {error.details()}'
    return f"error: health rpc failed: {error.details()}"
