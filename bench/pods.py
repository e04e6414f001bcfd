"""Pods whose image every node has, and waiting until they run."""
from __future__ import annotations

import time

from tiffin.client.http import HttpClient
from tiffin.machinery.object import Object, Resource, dig, name_of

PODS = Resource("", "v1", "pods")
PATH = "/api/v1/namespaces/default/pods"
PAUSE = "localhost/tiffin/pause:1"


def image_pod(name: str) -> Object:
    """A pod of one container that does nothing and ends at once when asked to."""
    container = {"name": "c", "image": PAUSE, "imagePullPolicy": "Never"}
    return {"metadata": {"name": name}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}


async def running(client: HttpClient, names: set[str]) -> dict[str, float]:
    """When (`time.perf_counter`) each of the pods was seen Running; returns once all were."""
    seen: dict[str, float] = {}
    async for event in client.watch(PODS, "default"):
        pod = event.object
        if name_of(pod) in names and dig(pod, "status", "phase") == "Running":
            seen.setdefault(name_of(pod), time.perf_counter())
        if seen.keys() >= names:
            break
    return seen
