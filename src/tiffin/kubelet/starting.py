"""The IO of bringing up one pod: its directories and sandbox, then one run of a container at a time.

Each function does one action of the plan for one pod and answers what the runtime then has; failures are exceptions whose text is
fit for statuses and events.
"""
from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence

from tiffin.kubelet import dns, handlers, storage, termination
from tiffin.kubelet.container_config import Mounted, container_config, sandbox_config
from tiffin.kubelet.env import ConfigError, Sources, environment
from tiffin.kubelet.fields import Facts
from tiffin.kubelet.gate import Turn
from tiffin.kubelet.images import ImageFault, Record
from tiffin.kubelet.node import Node
from tiffin.kubelet.plan import RunSandbox, StartContainer
from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.references import CONFIG_MAPS, SECRETS, Reference
from tiffin.kubelet.runtime import RuntimeFault
from tiffin.kubelet.state import Container, RuntimePod, Sandbox, container_named, uses_host_network
from tiffin.kubelet.volumes.types import VolumeFault
from tiffin.machinery.object import Object, dig, namespace_of, uid_of


class StartFault(Exception):
    """A container could not be started: reason and message of its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def facts_of(node: Node, pod: Object, ips: Sequence[str]) -> Facts:
    return Facts(node.facts.ips if uses_host_network(pod) else ips, node.facts.ips, node.allocatable())


def log_directory(node: Node, pod: Object) -> str:
    return sandbox_config(pod, 0, node.settings, str(node.config.pod_log_dir)).log_directory


async def run_sandbox(node: Node, pod: Object, action: RunSandbox) -> Sandbox:
    """A new sandbox with its addresses. Raises RuntimeFault, ConfigError and OSError."""
    config = sandbox_config(pod, action.attempt, node.settings, str(node.config.pod_log_dir))
    node.cgroups.ensure(pod)
    async with node.gate.place(Turn.SANDBOX):
        sandbox_id = await node.runtime.run_sandbox(config, dig(pod, "spec", "runtimeClassName", default=""))
        return await node.runtime.sandbox(sandbox_id)


def record_for(node: Node, pod: Object, container: str) -> Record:
    """A function that records events about one container."""
    kinds = {"initContainers": "spec.initContainers", "ephemeralContainers": "spec.ephemeralContainers", "containers": "spec.containers"}
    field = next((path for key, path in kinds.items() if any(c["name"] == container for c in dig(pod, "spec", key, default=[]))), "spec.containers")

    def record(type: str, reason: str, message: str) -> None:
        node.recorder.event(pod, type, reason, message, field_path=f"{field}{{{container}}}")

    return record


async def start_container(node: Node, pod: Object, runtime_pod: RuntimePod, action: StartContainer, ips: Sequence[str]) -> Container:
    """Make and start one run, hook excluded; answers it as the runtime knows it. Raises StartFault and ImageFault."""
    container = container_named(pod, action.name)
    assert container is not None, "the plan starts only what the pod has"
    record = record_for(node, pod, action.name)
    sandbox = sandbox_config(pod, runtime_pod.sandboxes[0].attempt, node.settings, str(node.config.pod_log_dir))
    try:
        objects = await node.references.gathered(pod)
    except TimeoutError as error:
        raise _config_fault(record, str(error)) from error
    pull_secrets = [s for (r, _, n), s in objects.items() if r == SECRETS and s and n in _pull_secret_names(pod)]
    try:
        image = await node.images.ensure(pod, container, sandbox, pull_secrets, record)
    except ImageFault as fault:
        record("Warning", "Failed", f"Error: {fault.reason}")
        raise
    config = _configured(node, pod, container, action, runtime_pod, image, objects, ips, record)
    async with node.gate.place(Turn.CONTAINER):
        return await _started(node, action, config, sandbox, record)


async def _started(node: Node, action: StartContainer, config: cri.ContainerConfig, sandbox: cri.PodSandboxConfig, record: Record) -> Container:
    """Create and start what was configured. Raises StartFault."""
    try:
        container_id = await node.runtime.create_container(action.sandbox_id, config, sandbox)
    except RuntimeFault as fault:
        record("Warning", "Failed", f"Error: {fault}")
        raise StartFault("CreateContainerError", str(fault)) from fault
    record("Normal", "Created", "Container created")
    try:
        await node.runtime.start_container(container_id)
    except RuntimeFault as fault:
        record("Warning", "Failed", f"Error: {fault}")
        raise StartFault("RunContainerError", str(fault)) from fault
    record("Normal", "Started", "Container started")
    return await node.runtime.container(container_id, action.sandbox_id)


def _config_fault(record: Record, message: str) -> StartFault:
    record("Warning", "Failed", f"Error: {message}")
    return StartFault("CreateContainerConfigError", message)


def _pull_secret_names(pod: Object) -> set[str]:
    return {s.get("name", "") for s in dig(pod, "spec", "imagePullSecrets", default=[])}


def _configured(
    node: Node, pod: Object, container: Object, action: StartContainer, runtime_pod: RuntimePod, image: cri.Image,
    objects: Mapping[Reference, Object | None], ips: Sequence[str], record: Record,
) -> cri.ContainerConfig:
    namespace = namespace_of(pod)
    sources = Sources(
        lambda name: objects.get((CONFIG_MAPS, namespace, name)), lambda name: objects.get((SECRETS, namespace, name)),
        node.services(namespace), facts_of(node, pod, ips),
    )
    try:
        values = environment(pod, container, sources)
        mounts = [*node.volumes.mounts(pod, container, values)]
        message_file = termination.new_file(node.volumes.pod_directory(uid_of(pod)) / storage.LAST_WORDS / action.name, secrets.token_hex(4))
        mounts += _files(node, pod, container, ips, [m.container_path for m in mounts])
        mounts.append(Mounted(container.get("terminationMessagePath") or "/dev/termination-log", str(message_file)))
        return container_config(
            pod, container, action.attempt, image=image.id, image_info=image, environment=values, mounts=mounts,
            termination_file=str(message_file), settings=node.settings, target_id=_target(container, runtime_pod),
        )
    except (ConfigError, VolumeFault, OSError) as error:
        raise _config_fault(record, str(error)) from error


def _files(node: Node, pod: Object, container: Object, ips: Sequence[str], taken: Sequence[str]) -> list[Mounted]:
    """/etc/hosts, unless the container mounts its own."""
    if "/etc/hosts" in taken:
        return []
    path = node.volumes.pod_directory(uid_of(pod)) / storage.HOSTS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    of_node = _node_hosts() if uses_host_network(pod) else ""
    path.write_text(dns.hosts_file(pod, ips, node.config.cluster_domain, of_node))
    path.chmod(0o644)
    return [Mounted("/etc/hosts", str(path), bool(dig(container, "securityContext", "readOnlyRootFilesystem")))]


def _node_hosts() -> str:
    with open("/etc/hosts") as file:
        return file.read()


def _target(container: Object, runtime_pod: RuntimePod) -> str:
    """The container whose processes an ephemeral container joins. Raises ConfigError."""
    name = container.get("targetContainerName")
    if not name:
        return ""
    run = runtime_pod.latest(name)
    if run is None or not run.is_running:
        raise ConfigError(f"unable to find target container {name}")
    return run.id


async def post_start(node: Node, container: Object, run: Container, address: str) -> None:
    """The postStart hook. Raises HandlerFault."""
    if hook := dig(container, "lifecycle", "postStart"):
        await _hook(node, hook, container, run, address, 0)


async def pre_stop(node: Node, pod: Object, container: Object, run: Container, address: str, grace: float) -> float:
    """The preStop hook, for at most `grace` seconds; answers the seconds that are left."""
    hook = dig(container, "lifecycle", "preStop")
    if not hook or grace <= 0:
        return grace
    begun = node.clock.now()
    try:
        await asyncio.wait_for(_hook(node, hook, container, run, address, grace), grace)
    except TimeoutError:
        record_for(node, pod, run.name)("Warning", "FailedPreStopHook", "PreStopHook did not complete within the grace period")
    except handlers.HandlerFault:
        record_for(node, pod, run.name)("Warning", "FailedPreStopHook", "PreStopHook failed")
    return grace - (node.clock.now() - begun).total_seconds()


HOOK_TIMEOUT = 3600.0
"""A hook without a deadline of its own is bounded all the same."""


async def _hook(node: Node, hook: Mapping[str, Object], container: Object, run: Container, address: str, grace: float) -> None:
    if "sleep" in hook:
        await node.clock.sleep(float(hook["sleep"].get("seconds") or 0))
        return
    if "tcpSocket" in hook:
        return  # accepted by the API for old manifests, and never had an effect
    await handlers.run(hook, container, run.id, address, node.runtime, grace or HOOK_TIMEOUT)
