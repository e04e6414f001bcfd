"""NodeResourcesFit, NodeResourcesBalancedAllocation, NodePorts, ImageLocality."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiffin.scheduler.plugins.base import MAX_SCORE, Rejection
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.state import CPU, MEMORY, Floats, Mask, State

MB = 1024 * 1024
SMALLEST_IMAGE, LARGEST_IMAGE = 23 * MB, 1000 * MB


class NodeResourcesFit:
    name = "NodeResourcesFit"

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        found = []
        full = state.pod_count >= state.max_pods
        if full.any():
            found.append(Rejection(full, "Too many pods", True))
        for resource, wanted in info.requests.items():
            if wanted <= 0:
                continue
            column = state.column(resource)
            allocatable = state.allocatable[:, column]
            short = wanted > allocatable - state.requested[:, column]
            if short.any():
                reason = f"Insufficient {resource}"
                hopeless = short & (wanted > allocatable)
                if hopeless.any():
                    found.append(Rejection(hopeless, reason, False))
                    short &= ~hopeless
                if short.any():
                    found.append(Rejection(short, reason, True))
        return found

    def score(self, info: PodInfo, state: State, feasible: Mask) -> Floats | None:
        """LeastAllocated over cpu and memory, equal weights."""
        allocatable = state.allocatable[:, [CPU, MEMORY]].astype(np.float64)
        left = allocatable - state.nonzero - info.nonzero
        known = np.maximum(allocatable, 1.0)
        return np.floor(np.clip(left, 0.0, None) * MAX_SCORE / known).mean(axis=1)  # type: ignore[no-any-return]


class NodeResourcesBalancedAllocation:
    name = "NodeResourcesBalancedAllocation"

    def score(self, info: PodInfo, state: State, feasible: Mask) -> Floats | None:
        """Best where cpu and memory would be used to the same fraction; pods without requests do not care."""
        if not info.requests:
            return None
        allocatable = np.maximum(state.allocatable[:, [CPU, MEMORY]], 1)
        wanted = np.array((info.requests.get("cpu", 0), info.requests.get("memory", 0)))
        fraction = np.minimum((state.requested[:, [CPU, MEMORY]] + wanted) / allocatable, 1.0)
        return (1.0 - np.abs(fraction[:, 0] - fraction[:, 1]) / 2.0) * MAX_SCORE  # type: ignore[no-any-return]


class NodePorts:
    name = "NodePorts"

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        taken = np.zeros(len(state.nodes), bool)
        for address, protocol, port in info.ports:
            for row, addresses in state.ports.get((protocol, port), {}).items():
                used = {a for a, count in addresses.items() if count > 0}
                if used and (address == "0.0.0.0" or address in used or "0.0.0.0" in used):
                    taken[row] = True
        return (Rejection(taken, "node(s) didn't have free ports for the requested pod ports", True),) if taken.any() else ()


class ImageLocality:
    name = "ImageLocality"

    def score(self, info: PodInfo, state: State, feasible: Mask) -> Floats | None:
        """By the size of the pod's images that are there already, scaled by how widely each is spread."""
        total: Floats | None = None
        nodes = max(int(state.alive.sum()), 1)
        for image in info.images:
            known = state.images.get(normalized(image))
            if known is not None:
                size, mask = known
                part: Floats = mask.astype(np.float64) * (size * float(mask.sum()) / nodes)
                total = part if total is None else total + part
        if total is None:
            return None
        highest = LARGEST_IMAGE * len(info.images)
        return MAX_SCORE * (np.clip(total, SMALLEST_IMAGE, highest) - SMALLEST_IMAGE) / (highest - SMALLEST_IMAGE)  # type: ignore[no-any-return]


def normalized(image: str) -> str:
    """An image name with the tag it means."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
