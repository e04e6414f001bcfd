"""Resources of pods: what a whole pod requests and may use, and its quality of service.

Source: API documentation of ResourceRequirements; KEP-753 (sidecars), KEP-2837 (resources of the whole pod).
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiffin.api.core.resources import HUGE_PAGES, is_native
from tiffin.machinery.quantity import add, compare, sign

Resources = dict[str, str]

def is_hugepages(name: str) -> bool:
    return name.startswith(HUGE_PAGES)


def is_pod_level_resource(name: str) -> bool:
    """Whether a resource may be given for the pod as a whole."""
    return name in ("cpu", "memory") or is_hugepages(name)


def may_be_overcommitted(name: str) -> bool:
    return is_native(name) and not is_hugepages(name)


def total(*lists: Mapping[str, str]) -> Resources:
    """The sum, resource by resource."""
    result: Resources = {}
    for quantities in lists:
        for name, value in quantities.items():
            result[name] = add(result[name], value) if name in result else value
    return result


def greatest(*lists: Mapping[str, str]) -> Resources:
    """The maximum, resource by resource."""
    result: Resources = {}
    for quantities in lists:
        for name, value in quantities.items():
            if name not in result or compare(value, result[name]) > 0:
                result[name] = value
    return result


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """Whether an init container keeps running beside the regular ones."""
    return container.get("restartPolicy") == "Always"


def _given(container: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    return (container.get("resources") or {}).get(kind) or {}


def _of_containers(spec: Mapping[str, Any], kind: str) -> Resources:
    """Regular containers and sidecars together, but no less than any init container needs beside the sidecars before it."""
    running = total(*(_given(c, kind) for c in spec.get("containers") or ()))
    sidecars: Resources = {}
    highest: Resources = {}
    for container in spec.get("initContainers") or ():
        own = _given(container, kind)
        if is_sidecar(container):
            running, sidecars = total(running, own), total(sidecars, own)
            highest = greatest(highest, sidecars)
        else:
            highest = greatest(highest, total(own, sidecars))
    return greatest(running, highest)


def container_requests(spec: Mapping[str, Any]) -> Resources:
    """What the containers of a pod request together, without overhead and whole-pod resources."""
    return _of_containers(spec, "requests")


def container_limits(spec: Mapping[str, Any]) -> Resources:
    return _of_containers(spec, "limits")


def _of_pod(spec: Mapping[str, Any], kind: str) -> Resources:
    whole = {n: v for n, v in ((spec.get("resources") or {}).get(kind) or {}).items() if is_pod_level_resource(n)}
    return _of_containers(spec, kind) | whole


def pod_requests(spec: Mapping[str, Any]) -> Resources:
    """What a pod takes from its node: whole-pod requests or those of its containers, and the overhead of its runtime class."""
    return total(_of_pod(spec, "requests"), spec.get("overhead") or {})


def pod_limits(spec: Mapping[str, Any]) -> Resources:
    """The limits of a pod; overhead is added where there is a limit."""
    limits = _of_pod(spec, "limits")
    return total(limits, {n: v for n, v in (spec.get("overhead") or {}).items() if n in limits})


def _positive(quantities: Mapping[str, str]) -> dict[str, str]:
    return {name: quantities[name] for name in ("cpu", "memory") if name in quantities and sign(quantities[name]) > 0}


def quality_of_service(spec: Mapping[str, Any]) -> str:
    """Guaranteed (limits of cpu and memory everywhere, equal to requests), BestEffort (neither) or Burstable."""
    whole = spec.get("resources") or {}
    if whole.get("requests") or whole.get("limits"):
        parts: Iterable[Mapping[str, Any]] = [{"resources": whole}]
    else:
        parts = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    requests: Resources = {}
    limits: Resources = {}
    guaranteed = True
    for part in parts:
        requests = total(requests, _positive(_given(part, "requests")))
        own = _positive(_given(part, "limits"))
        limits = total(limits, own)
        guaranteed = guaranteed and len(own) == 2
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and len(requests) == len(limits) and all(n in limits and compare(v, limits[n]) == 0 for n, v in requests.items()):
        return "Guaranteed"
    return "Burstable"
