"""A cluster for tests: some controllers over the make-believe server, a clock advanced by hand, and a kubelet of a few lines."""
from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tiffin.client.memory import MemoryClient
from tiffin.controllers.config import Config
from tiffin.controllers.resources import PODS
from tiffin.machinery.object import Object, Resource, dig, is_deleting, key_of, name_of, replaced
from tiffin.machinery.timestamps import format_time
from tiffin.runtime.clock import FakeClock
from tiffin.runtime.events import EVENTS
from tiffin.runtime.manager import run_controllers

KINDS = {
    "deployments": "Deployment", "replicasets": "ReplicaSet", "pods": "Pod", "nodes": "Node", "configmaps": "ConfigMap", "namespaces": "Namespace",
    "replicationcontrollers": "ReplicationController", "leases": "Lease", "serviceaccounts": "ServiceAccount", "secrets": "Secret", "jobs": "Job",
    "poddisruptionbudgets": "PodDisruptionBudget", "clusterroles": "ClusterRole", "resourcequotas": "ResourceQuota", "daemonsets": "DaemonSet",
    "statefulsets": "StatefulSet", "cronjobs": "CronJob", "customresourcedefinitions": "CustomResourceDefinition", "controllerrevisions": "ControllerRevision",
    "certificatesigningrequests": "CertificateSigningRequest", "persistentvolumeclaims": "PersistentVolumeClaim", "persistentvolumes": "PersistentVolume", "services": "Service", "endpoints": "Endpoints", "endpointslices": "EndpointSlice",
    "servicecidrs": "ServiceCIDR", "ipaddresses": "IPAddress", "storageclasses": "StorageClass", "volumeattributesclasses": "VolumeAttributesClass", "horizontalpodautoscalers": "HorizontalPodAutoscaler",
}  # fmt: skip


def made(resource: Resource, name: str, namespace: str = "default", **more: Any) -> Object:
    """An object of a resource; `metadata` in `more` is added to name and namespace."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {}) | more.pop("metadata", {})
    return {"apiVersion": resource.api_version, "kind": KINDS[resource.plural], "metadata": metadata, **more}


class Cluster:
    """Runs the controllers of the given modules within `async with`."""

    def __init__(self, *modules: Any, config: Config | None = None, kubelet: bool = True) -> None:
        self.clock = FakeClock()
        self.client = MemoryClient(self.clock.now)
        self.kubelet = kubelet
        self._controllers = [module.controller(config or Config()) for module in modules]

    async def __aenter__(self) -> Cluster:
        running = [asyncio.create_task(run_controllers(lambda name: self.client, self._controllers, self.clock))]
        if self.kubelet:
            running.append(asyncio.create_task(self._run_pods()))
        self._running = running
        await self.clock.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        results = await asyncio.gather(*self._running, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results

    async def _run_pods(self) -> None:
        """Every pod runs at once on node "n" and is ready; one that is deleted is gone at once."""
        async for event in self.client.watch(PODS):
            pod = event.object
            if event.type == "DELETED":
                continue
            if is_deleting(pod) and not pod["metadata"].get("finalizers"):
                await self.client.delete(PODS, *key_of(pod), grace_period=0)
            elif not is_deleting(pod) and not dig(pod, "status", "phase"):
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": format_time(self.clock.now())}
                self.client.put(PODS, replaced(pod, ("spec", "nodeName"), "n") | {"status": {"phase": "Running", "conditions": [ready]}})

    async def settle(self) -> None:
        """Until nothing moves; short back-offs are waited for."""
        before = -1
        while before != len(self.client._history):
            before = len(self.client._history)
            await self.clock.advance(0.2)

    async def create(self, resource: Resource, obj: Object) -> Object:
        created = await self.client.create(resource, obj["metadata"].get("namespace", ""), obj)
        await self.settle()
        return created

    async def patch(self, resource: Resource, name: str, patch: Any, namespace: str = "default", subresource: str = "") -> Object:
        answer = await self.client.patch(resource, namespace, name, patch, subresource=subresource)
        await self.settle()
        return answer

    async def delete(self, resource: Resource, name: str, namespace: str = "default", propagation: str = "") -> None:
        await self.client.delete(resource, namespace, name, propagation=propagation)
        await self.settle()

    def all(self, resource: Resource) -> Sequence[Object]:
        return self.client.objects(resource)

    def one(self, resource: Resource, name: str, namespace: str = "default") -> Object:
        return next(obj for obj in self.client.objects(resource) if name_of(obj) == name and obj["metadata"].get("namespace", "") == namespace)

    def names(self, resource: Resource) -> list[str]:
        return [name_of(obj) for obj in self.client.objects(resource)]

    def events(self, reason: str = "") -> list[str]:
        """Messages of recorded events, of one reason or all, oldest first."""
        ordered = sorted(self.client.objects(EVENTS), key=lambda e: int(e["metadata"]["name"].rpartition(".")[2], 16))
        return [e["message"] for e in ordered if reason in ("", e["reason"])]
