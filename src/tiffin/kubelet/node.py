"""What all pods of a node share: its settings, its runtime, and those who do a part of the work for every pod."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tiffin.client.client import Client
from tiffin.kubelet.cgroups import Cgroups
from tiffin.kubelet.config import AgentConfig
from tiffin.kubelet.container_config import NodeSettings
from tiffin.kubelet.gate import Gate
from tiffin.kubelet.images import Images
from tiffin.kubelet.probes import Probes
from tiffin.kubelet.publish import Publisher
from tiffin.kubelet.references import References
from tiffin.kubelet.runtime import ContainerEnded, Runtime
from tiffin.kubelet.state import NodeFacts
from tiffin.kubelet.volumes.manager import Volumes
from tiffin.machinery.object import Object
from tiffin.runtime.clock import Clock
from tiffin.runtime.events import EventRecorder


@dataclass(frozen=True)
class Node:
    """The surroundings of a pod's worker."""

    config: AgentConfig
    settings: NodeSettings
    facts: NodeFacts
    clock: Clock
    client: Client
    runtime: Runtime
    volumes: Volumes
    images: Images
    probes: Probes
    references: References
    publisher: Publisher
    recorder: EventRecorder
    cgroups: Cgroups
    gate: Gate
    services: Callable[[str], Sequence[Object]]
    """Services of a namespace, and `kubernetes` of namespace default."""
    allocatable: Callable[[], dict[str, str]]
    """What the node offers to pods."""
    take_end: Callable[[str], ContainerEnded | None]
    """The end of a container or sandbox that was told before its start was known."""
    gone: Callable[[str], None]
    """A pod's worker has done all there was to do, and the API no longer has the pod."""
