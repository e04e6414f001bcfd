"""Why the endpoints of a Service that asks for traffic to stay in its zone (`service.kubernetes.io/topology-mode: Auto`) have no hints.

Source: KEP-2433, its safeguards, and the events of Kubernetes' EndpointSlice controller.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiffin.controllers.pods import is_ready
from tiffin.machinery.object import Object, annotations_of, dig, labels_of
from tiffin.runtime.controller import RecordEvent

MODES = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")
ZONE = "topology.kubernetes.io/zone"
EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
NO_NODE_INFO = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"


def is_asked_for(service: Object) -> bool:
    return any(annotations_of(service).get(mode) in ("Auto", "auto") for mode in MODES)


def events(service: Object, family: str, ready: int, nodes: Iterable[Object]) -> Sequence[RecordEvent]:
    """What is said of a Service with so many ready endpoints of a family; nothing where the safeguards hold."""
    if not is_asked_for(service):
        return ()
    zones = zones_of(nodes)
    if zones is None:
        why = NO_NODE_INFO
    elif len(zones) > ready:
        why = f"Insufficient number of endpoints ({ready} endpoints, {len(zones)} zones)"
    else:
        return ()
    return (RecordEvent(service, "Warning", "TopologyAwareHintsDisabled", f"{why}, addressType: {family}"),)


def zones_of(nodes: Iterable[Object]) -> set[str] | None:
    """The zones of the nodes that are ready; None where one does not say its zone or CPU, or there are no two."""
    zones = set()
    for node in nodes:
        if not is_ready(node) or any(label in labels_of(node) for label in EXCLUDED):
            continue
        zone, cpu = labels_of(node).get(ZONE), dig(node, "status", "allocatable", "cpu", default="0")
        if not zone or cpu == "0":
            return None
        zones.add(zone)
    return zones if len(zones) > 1 else None
