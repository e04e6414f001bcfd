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
        return np.floor((_share_left(info, state, CPU) + _share_left(info, state, MEMORY)) / 2.0)


def _share_left(info: PodInfo, state: State, column: int) -> Floats:
    """What would be left of a resource, in whole percent of what the node has."""
    allocatable = state.allocatable[:, column]
    left = np.maximum(allocatable - state.nonzero[:, column] - info.nonzero[column], 0)
    return np.floor(left * MAX_SCORE / np.maximum(allocatable, 1))


def _share_used(info: PodInfo, state: State, column: int, resource: str) -> Floats:
    wanted = state.requested[:, column] + info.requests.get(resource, 0)
    return np.minimum(wanted / np.maximum(state.allocatable[:, column], 1), 1.0)


class NodeResourcesBalancedAllocation:
    name = "NodeResourcesBalancedAllocation"

    def score(self, info: PodInfo, state: State, feasible: Mask) -> Floats | None:
        """Best where cpu and memory would be used to the same fraction; pods without requests do not care."""
        if not info.requests:
            return None
        uneven = np.abs(_share_used(info, state, CPU, "cpu") - _share_used(info, state, MEMORY, "memory"))
        return (1.0 - uneven / 2.0) * MAX_SCORE


class NodePorts:
    name = "NodePorts"

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        if not info.ports:
            return ()
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
        for image in info.images:
            known = state.images.get(normalized(image))
            if known is not None:
                size, mask = known
                nodes = max(int(state.alive.sum()), 1)
                part: Floats = mask.astype(np.float64) * (size * float(mask.sum()) / nodes)
                total = part if total is None else total + part
        if total is None:
            return None
        highest = LARGEST_IMAGE * len(info.images)
        return MAX_SCORE * (np.clip(total, SMALLEST_IMAGE, highest) - SMALLEST_IMAGE) / (highest - SMALLEST_IMAGE)  # type: ignore[no-any-return]


def normalized(image: str) -> str:
    """An image name with the tag it means."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
