"""The default profile: its plugins in order, with the weights of their scores. Source: Kubernetes v1.36 default plugins."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tiffin.machinery.selectors import Selector
from tiffin.scheduler.plugins.base import Filter, PreFilter, Score
from tiffin.scheduler.plugins.nodes import NodeAffinity, NodeName, NodeUnschedulable, TaintToleration
from tiffin.scheduler.plugins.podaffinity import InterPodAffinity
from tiffin.scheduler.plugins.resources import ImageLocality, NodePorts, NodeResourcesBalancedAllocation, NodeResourcesFit
from tiffin.scheduler.plugins.spread import PodTopologySpread
from tiffin.scheduler.plugins.volumerestrictions import VolumeRestrictions, VolumeZone
from tiffin.scheduler.plugins.volumes import Storage, VolumeBinding
from tiffin.scheduler.podinfo import PodInfo

SCHEDULER_NAME = "default-scheduler"


@dataclass(frozen=True)
class Profile:
    """Filters in the order they are asked, after those that look at the pod alone; scores with their weights."""

    prefilters: Sequence[PreFilter]
    filters: Sequence[Filter]
    scores: Sequence[tuple[Score, int]]
    volumes: VolumeBinding
    """Asked once more when a pod has its node."""


def default_profile(default_selector: Callable[[PodInfo], Selector | None], storage: Storage) -> Profile:
    """`default_selector` gives what selects a pod (its owner's selector), for the default spreading."""
    taints, affinity, fit, near = TaintToleration(), NodeAffinity(), NodeResourcesFit(), InterPodAffinity()
    volumes, restrictions, zones = VolumeBinding(storage), VolumeRestrictions(storage), VolumeZone(storage)
    spread = PodTopologySpread(affinity, taints, default_selector)
    return Profile(
        prefilters=(affinity, restrictions, volumes),
        filters=(NodeUnschedulable(), NodeName(), taints, affinity, NodePorts(), fit, restrictions, volumes, zones, spread, near),
        volumes=volumes,
        scores=((taints, 3), (affinity, 2), (fit, 1), (spread, 2), (near, 2), (NodeResourcesBalancedAllocation(), 1), (ImageLocality(), 1)),
    )
