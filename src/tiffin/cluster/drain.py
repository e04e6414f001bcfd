"""Emptying a node as `kubectl drain` does: cordoned first, then every pod evicted, which honours disruption budgets.

Pods that belong to the node itself stay: those of DaemonSets, and mirrors of static pods. A pod without a controller would be lost,
and is evicted only by force.
"""
from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from enum import Enum, auto

from tiffin.client.client import Client
from tiffin.cluster.leaving import PODS
from tiffin.cluster.nodes_ready import NODES
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, annotations_of, dig, meta, name_of, namespace_of, uid_of

MIRROR = "kubernetes.io/config.mirror"
RETRY = 1.0
"""Seconds after which an eviction is asked for again that a budget did not allow."""
_NOT_FOUND, _CONFLICT, _GONE, _TOO_MANY = 404, 409, 410, 429


class NotDrained(Exception):
    """Pods are still there; the message says which, and why."""


class Fate(Enum):
    """What draining does with a pod."""

    STAYS = auto()
    MOVES = auto()
    """Its controller makes another."""
    LOST = auto()
    """Nobody makes another."""


def fate(pod: Object) -> Fate:
    """What draining its node means for the pod."""
    owner = next((ref for ref in meta(pod).get("ownerReferences") or () if ref.get("controller")), None)
    if MIRROR in annotations_of(pod) or (owner and owner.get("kind") == "DaemonSet"):
        return Fate.STAYS
    finished = dig(pod, "status", "phase") in ("Succeeded", "Failed")
    return Fate.MOVES if owner or finished else Fate.LOST


async def drain(client: Client, node: str, timeout: float, force: bool) -> int:
    """Cordons the node and evicts its pods; returns how many, when they are gone. `timeout` in seconds, 0 for none. Raises `NotDrained`."""
    await client.patch(NODES, "", node, {"spec": {"unschedulable": True}})
    there = await client.list(PODS, fields=f"spec.nodeName={node}")
    leaving = {uid_of(pod): pod for pod in there.items if fate(pod) is not Fate.STAYS}
    if not force and (lost := [pod for pod in leaving.values() if fate(pod) is Fate.LOST]):
        raise NotDrained(f"these pods have no controller and would be lost: {_names(lost)}")
    count = len(leaving)
    refusals: dict[str, str] = {}
    try:
        async with asyncio.timeout(timeout or None), asyncio.TaskGroup() as tasks:
            for pod in leaving.values():
                tasks.create_task(_evict(client, pod, refusals))
            tasks.create_task(_wait_until_gone(client, node, leaving, there.resource_version))
    except TimeoutError as error:
        reasons = "".join(f"\n    {refusals[uid]}" for uid in leaving if uid in refusals)
        raise NotDrained(f"still there after {timeout:g} s: {_names(leaving.values())}{reasons}") from error
    return count


async def _evict(client: Client, pod: Object, refusals: dict[str, str]) -> None:
    """Asks until the answer is not "too many"; what a budget said last is kept under the pod's uid."""
    namespace, name = namespace_of(pod), name_of(pod)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    eviction["deleteOptions"] = {"preconditions": {"uid": uid_of(pod)}}
    while True:
        try:
            await client.create(PODS, namespace, eviction, name=name, subresource="eviction")
        except ApiError as error:
            if error.code in (_NOT_FOUND, _CONFLICT):
                return
            if error.code != _TOO_MANY:
                raise
            refusals[uid_of(pod)] = f"{namespace}/{name}: {error.message}"
            await asyncio.sleep(RETRY)
        else:
            refusals.pop(uid_of(pod), None)
            return


async def _wait_until_gone(client: Client, node: str, leaving: dict[str, Object], version: str) -> None:
    """Takes out of `leaving` what goes, and returns when it is empty."""
    selected = f"spec.nodeName={node}"
    while leaving:
        try:
            async with aclosing(client.watch(PODS, fields=selected, resource_version=version)) as events:  # type: ignore[type-var]
                async for event in events:
                    version = meta(event.object).get("resourceVersion", version)
                    if event.type == "DELETED":
                        leaving.pop(uid_of(event.object), None)
                    if not leaving:
                        return
        except ApiError as error:
            if error.code != _GONE:
                raise
        there = await client.list(PODS, fields=selected)
        present, version = {uid_of(pod) for pod in there.items}, there.resource_version
        for uid in set(leaving) - present:
            del leaving[uid]


def _names(pods: Iterable[Object]) -> str:
    return ", ".join(sorted(f"{namespace_of(pod)}/{name_of(pod)}" for pod in pods))
