"""The node agent's process: puts the parts together and runs them until it is told to end. Containers outlive it."""
from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from tiffin.client.cache import Cache, Caches
from tiffin.client.client import Client
from tiffin.kubelet import housekeeping, machine
from tiffin.kubelet.cgroups import Cgroups
from tiffin.kubelet.config import AgentConfig
from tiffin.kubelet.container_config import NodeSettings
from tiffin.kubelet.cri import CriRuntime
from tiffin.kubelet.dns import Resolver, parse_resolv_conf
from tiffin.kubelet.gate import Gate
from tiffin.kubelet.images import Images
from tiffin.kubelet.node import Node
from tiffin.kubelet.node_status import Machine, allocatable
from tiffin.kubelet.probes import Probes
from tiffin.kubelet.publish import PODS, Publisher
from tiffin.kubelet.references import References
from tiffin.kubelet.registrar import NODES, Registrar, root_of
from tiffin.kubelet.run import Kubelet
from tiffin.kubelet.runtime import Runtime
from tiffin.kubelet.starting import record_for
from tiffin.kubelet.state import NodeFacts
from tiffin.kubelet.tokens import PodObjects
from tiffin.kubelet.volumes.manager import Volumes
from tiffin.machinery.object import Object
from tiffin.runtime.clock import Clock, SystemClock
from tiffin.runtime.events import EventRecorder

log = logging.getLogger(__name__)

GATE_PER_CPU = 2
"""Starts under way at once for each CPU: enough to keep them all at work."""


Metrics = Callable[[], str]
"""What a part of the process has counted, in Prometheus' text format."""


async def run_agent(config: AgentConfig, client: Client, services: Cache, metrics: Sequence[Metrics]) -> None:
    """Be the node `config.node_name` until cancelled.

    `services` are all Services, kept true by the caller; `metrics` are shown together at the node's /metrics.
    """
    runtime = CriRuntime(config.runtime_socket)
    try:
        await Agent(config, client, SystemClock(), runtime, services, metrics).run()
    finally:
        await runtime.close()


class Agent:
    """One node agent over a client, a clock and a runtime."""

    def __init__(self, config: AgentConfig, client: Client, clock: Clock, runtime: Runtime, services: Cache, metrics: Sequence[Metrics]) -> None:
        self._config, self._client, self._clock, self._services, self._metrics = config, client, clock, services, metrics
        root_of(config)
        self._machine = machine.measure(config.root_dir)
        self._caches = Caches(client, clock.now, clock.sleep)
        pods = self._caches.add(PODS, fields=f"spec.nodeName={config.node_name}")
        self._own = self._caches.add(NODES, fields=f"metadata.name={config.node_name}")
        self._recorder = EventRecorder(client, clock, "kubelet", config.node_name)
        self.registrar = Registrar(config, client, clock, runtime, self._machine)
        self.kubelet = Kubelet(self._node(runtime), pods)

    def _node(self, runtime: Runtime) -> Node:
        config, client, clock = self._config, self._client, self._clock
        references = References(client, clock, lambda uid: self.kubelet.objects_changed(uid))
        offered = allocatable(self._machine, config)
        cgroups = Cgroups(config.cgroup_root, config.cgroup_mount)

        def record(pod: Object, container: str, type: str, reason: str, message: str) -> None:
            record_for(node, pod, container)(type, reason, message)

        node = Node(
            config=config, settings=node_settings(config, self._machine, cgroups.unified), facts=NodeFacts(config.node_name, config.node_ips),
            clock=clock, client=client, runtime=runtime, volumes=Volumes(config.root_dir, PodObjects(client, clock, references)),
            images=Images(runtime, clock, config.root_dir), probes=Probes(runtime, clock, record, lambda uid: self.kubelet.changed(uid)),
            references=references, publisher=Publisher(client, clock), recorder=self._recorder, cgroups=cgroups,
            gate=Gate(config.parallel_starts or GATE_PER_CPU * self._machine.cpus),
            services=self._services_of, allocatable=lambda: offered, take_end=lambda i: self.kubelet.take_end(i),
            gone=lambda uid: self.kubelet.forget(uid),
        )
        return node

    def _services_of(self, namespace: str) -> Sequence[Object]:
        master = self._services.get("default", "kubernetes")
        of_namespace = self._services.list(namespace)
        return [*of_namespace, *([master] if master and namespace != "default" else [])]

    async def run(self) -> None:
        """Everything at once, until cancelled or until a part of it fails for good."""
        self._own.subscribe(self._node_changed)
        self.registrar.on_pressure = lambda kind: housekeeping.relieve(self.kubelet, kind)
        server = None
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._caches.run())
                parts.create_task(self._recorder.run())
                server = await self._serve(parts)
                await self.registrar.register()
                parts.create_task(self.registrar.keep_status())
                parts.create_task(self.registrar.keep_lease())
                # Environments name services, so no pod starts before they are known.
                await self._services.synced.wait()
                self.kubelet.set_node_object(self.registrar.node)
                await self.kubelet.start()
                log.info("node %s has %d pods", self._config.node_name, len(self.kubelet.pods()))
                parts.create_task(self.kubelet.follow_runtime())
                parts.create_task(self.kubelet.look_regularly())
                parts.create_task(housekeeping.follow_static_pods(self.kubelet, self.registrar))
                parts.create_task(housekeeping.rotate_logs(self.kubelet))
                parts.create_task(housekeeping.collect_images(self.kubelet))
                parts.create_task(housekeeping.limit_storage(self.kubelet))
                parts.create_task(housekeeping.remove_leftovers(self.kubelet))
        finally:
            if server is not None:
                with suppress(OSError):
                    await server.stop()
            await self.kubelet.close()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        self.registrar.node_changed(new)
        if new is not None:
            self.kubelet.set_node_object(new)

    async def _serve(self, parts: asyncio.TaskGroup):  # type: ignore[no-untyped-def]
        """The node's HTTPS port; None where there is no certificate to show."""
        config = self._config
        if config.serving_certificate is None or config.serving_key is None or config.client_ca is None:
            return None
        from tiffin.kubelet.access import Access
        from tiffin.kubelet.endpoint import Endpoint
        from tiffin.kubelet.streams import NodeServer
        from tiffin.net.http import Response
        from tiffin.net.renewal import keep_loaded
        from tiffin.net.server import Server

        async def metrics() -> Response:
            return Response(200, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}, "".join(part() for part in self._metrics).encode())

        node = NodeServer(Endpoint(self.kubelet), Access(self._client, config.node_name, time.monotonic), self._clock.now, {"/metrics": metrics})
        server = Server(node.handle)
        tls = serving_context(config)
        parts.create_task(keep_loaded(tls, [(config.serving_certificate, config.serving_key)], self._clock.sleep))
        await server.start(config.node_ips[0], config.kubelet_port, tls)
        return server


def serving_context(config: AgentConfig):  # type: ignore[no-untyped-def]
    """TLS of the node's port: its certificate, and client certificates of the cluster's authority if shown."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    assert config.serving_certificate and config.client_ca
    context.load_cert_chain(config.serving_certificate, config.serving_key)
    context.load_verify_locations(config.client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def node_settings(config: AgentConfig, measured: Machine, unified: bool) -> NodeSettings:
    """What of the node goes into configurations of its containers."""
    try:
        resolver = parse_resolv_conf(config.resolv_conf.read_text())
    except OSError as error:
        log.warning("%s cannot be read, pods get no resolver of the node: %s", config.resolv_conf, error)
        resolver = Resolver()
    return NodeSettings(
        cluster_domain=config.cluster_domain, cluster_dns=config.cluster_dns, resolver=resolver,
        cgroup_root=config.cgroup_root, seccomp_default=config.seccomp_default, seccomp_root=str(config.root_dir / "seccomp"),
        memory_capacity=measured.memory, cgroup_v2=unified,
    )
