"""A node leaves the cluster for good: its objects in the API and what it had on disk.

The node must not run any more, or its agent would register it anew.
"""
from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Sequence

from tiffin.client.client import Client
from tiffin.cluster.layout import Layout, NodeLayout
from tiffin.cluster.nodes_ready import NODES, admin_client
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Resource, name_of, namespace_of, uid_of

PODS = Resource("", "v1", "pods")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
LEASE_NAMESPACE = "kube-node-lease"
_NOT_FOUND, _CONFLICT = 404, 409


async def forget(layout: Layout, port: int, nodes: Sequence[NodeLayout]) -> None:
    """Removes the nodes' objects from the API, then their files."""
    client = admin_client(layout, port)
    try:
        await remove_objects(client, [node.name for node in nodes])
    finally:
        client.close()
    await asyncio.to_thread(_remove_files, nodes)


async def remove_objects(client: Client, names: Iterable[str]) -> None:
    """Node, pods and Lease. The Node first: then nothing is scheduled there any more."""
    for name in names:
        await _delete(client, NODES, "", name)
        for pod in (await client.list(PODS, fields=f"spec.nodeName={name}")).items:
            await _delete(client, PODS, namespace_of(pod), name_of(pod), uid_of(pod), grace_period=0)
        await _delete(client, LEASES, LEASE_NAMESPACE, name)


async def _delete(client: Client, resource: Resource, namespace: str, name: str, uid: str = "", grace_period: int | None = None) -> None:
    try:
        await client.delete(resource, namespace, name, uid=uid, grace_period=grace_period)
    except ApiError as error:
        if error.code not in (_NOT_FOUND, _CONFLICT):  # gone, or another of the same name took its place
            raise


def _remove_files(nodes: Sequence[NodeLayout]) -> None:
    """Images, volumes, logs, keys: all of it."""
    for node in nodes:
        shutil.rmtree(node.data_dir, ignore_errors=True)
        for file in node.cluster.pki_dir.glob(f"node-{node.name}-*"):
            if file.name.removeprefix(f"node-{node.name}-").partition(".")[0] in ("client", "network", "serving"):
                file.unlink(missing_ok=True)
        for log in (*node.cluster.log_dir.glob(f"{node.name}.log*"), *node.cluster.log_dir.glob(f"{node.name}-containerd.log*")):
            log.unlink(missing_ok=True)
