"""The IO of ending one pod: hooks and signals for a container, the API's farewell, and the removal of every trace."""
from __future__ import annotations

import asyncio
import logging
import math
import shutil
from dataclasses import replace

from tiffin.kubelet.node import Node
from tiffin.kubelet.publish import PODS
from tiffin.kubelet.runtime import RuntimeFault
from tiffin.kubelet.starting import log_directory, pre_stop
from tiffin.kubelet.state import Container, ContainerState, RuntimePod, container_named
from tiffin.kubelet.volumes.types import VolumeFault
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, name_of, namespace_of, uid_of

log = logging.getLogger(__name__)

MINIMUM_GRACE = 2
"""Seconds a container is given between SIGTERM and SIGKILL even when time is up."""


async def stop_container(node: Node, pod: Object, run: Container, grace: int, address: str, *, hook: bool) -> Container:
    """Run the preStop hook, if asked to, and stop a container within `grace` seconds; the container as it then is. Raises RuntimeFault."""
    left = float(grace)
    container = container_named(pod, run.name)
    if hook and container is not None:
        left = await pre_stop(node, pod, container, run, address, left)
    try:
        await node.runtime.stop_container(run.id, max(math.ceil(left), MINIMUM_GRACE))
        return await node.runtime.container(run.id, run.sandbox_id)
    except RuntimeFault as fault:
        if not fault.is_missing:
            raise
        return replace(run, state=ContainerState.EXITED, exit_code=137, finished_at=node.clock.now(), reason="ContainerStatusUnknown")


async def stop_sandbox(node: Node, sandbox_id: str) -> None:
    """Stop a sandbox; one that is gone counts as stopped. Raises RuntimeFault."""
    try:
        await node.runtime.stop_sandbox(sandbox_id)
    except RuntimeFault as fault:
        if not fault.is_missing:
            raise


async def delete_from_api(node: Node, pod: Object, api_pod: Object) -> bool:
    """Tell the API how the pod ended, then that it may forget it; whether that went well."""
    await node.publisher.settled(api_pod)
    try:
        await node.client.delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod), grace_period=0)
    except ApiError as error:
        return error.code in (404, 409)
    except OSError:
        return False
    return True


async def purge(node: Node, pod: Object, runtime: RuntimePod) -> bool:
    """Remove containers, sandboxes, files and logs of a pod that the API has forgotten; whether all of it is gone."""
    try:
        for run in runtime.containers:
            await node.runtime.remove_container(run.id)
        for sandbox in runtime.sandboxes:
            await node.runtime.remove_sandbox(sandbox.id)
        await node.volumes.remove(uid_of(pod))
        await asyncio.to_thread(_remove_logs, log_directory(node, pod))
    except (RuntimeFault, VolumeFault, OSError) as error:
        log.warning("pod %s/%s: removing what is left: %s", namespace_of(pod), name_of(pod), error)
        return False
    return True


def _remove_logs(directory: str) -> None:
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
