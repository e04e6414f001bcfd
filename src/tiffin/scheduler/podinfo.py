"""What the scheduler needs of a pod, read out of the object once."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiffin.api.core.podspec.resources import pod_requests
from tiffin.machinery.object import Key, Object, controller_of, key_of, labels_of, meta
from tiffin.machinery.quantity import to_int, to_milli
from tiffin.machinery.selectors import Selector, from_label_selector

DEFAULT_MILLI_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024
"""What a container without requests counts as when nodes are compared, so that many such pods spread."""


HostPort = tuple[str, str, int]
"""Host address, protocol and port."""


def amount(resource: str, quantity: Any) -> int:
    """A quantity in the scheduler's unit: milli for cpu, whole units (bytes) for all else."""
    return to_milli(quantity) if resource == "cpu" else to_int(quantity)


@dataclass(frozen=True)
class AffinityTerm:
    """A pod affinity term with its selectors resolved. `namespaces` None with a namespace selector means: ask it."""

    topology_key: str
    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector | None
    weight: int = 0

    def selects(self, namespace: str, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        if namespace not in self.namespaces and (self.namespace_selector is None or not self.namespace_selector.matches(namespace_labels)):
            return False
        return self.selector.matches(labels)


def _term(term: Mapping[str, Any], pod: Object, weight: int = 0) -> AffinityTerm:
    selector = term.get("labelSelector")
    labels = labels_of(pod)
    if selector is not None:
        extra = [{"key": k, "operator": "In", "values": [labels[k]]} for k in term.get("matchLabelKeys") or () if k in labels]
        extra += [{"key": k, "operator": "NotIn", "values": [labels[k]]} for k in term.get("mismatchLabelKeys") or () if k in labels]
        if extra:
            selector = {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *extra]}
    given, by_label = term.get("namespaces") or (), term.get("namespaceSelector")
    own = (meta(pod).get("namespace") or "",) if not given and by_label is None else ()
    return AffinityTerm(
        term["topologyKey"], from_label_selector(selector), frozenset((*given, *own)), None if by_label is None else from_label_selector(by_label), weight)


@dataclass(slots=True)
class PodInfo:
    """A pod as the scheduler sees it; `node` is the name of the node it is on, "" while it has none."""

    pod: Object
    key: Key
    uid: str
    labels: Mapping[str, str]
    priority: int
    requests: dict[str, int]
    nonzero: tuple[int, int]
    """Milli cpu and bytes of memory for comparing nodes, with something for containers that request nothing."""
    node: str = ""
    ports: Sequence[HostPort] = ()
    images: Sequence[str] = ()
    affinity: Sequence[AffinityTerm] = ()
    anti_affinity: Sequence[AffinityTerm] = ()
    preferred_affinity: Sequence[AffinityTerm] = ()
    preferred_anti_affinity: Sequence[AffinityTerm] = ()

    @classmethod
    def of(cls, pod: Object) -> PodInfo:
        spec = pod["spec"]
        requests = {name: amount(name, value) for name, value in pod_requests(spec).items()}
        containers = spec.get("containers") or ()
        missing = [sum(1 for c in containers if name not in ((c.get("resources") or {}).get("requests") or {})) for name in ("cpu", "memory")]
        nonzero = (requests.get("cpu", 0) + missing[0] * DEFAULT_MILLI_CPU, requests.get("memory", 0) + missing[1] * DEFAULT_MEMORY)
        info = cls(
            pod, key_of(pod), meta(pod).get("uid") or "", labels_of(pod), spec.get("priority") or 0, requests, nonzero, spec.get("nodeName") or "",
            _host_ports(spec), [c.get("image") or "" for c in (*(spec.get("initContainers") or ()), *containers)])
        if affinity := spec.get("affinity"):
            info._read(affinity)
        return info

    def _read(self, affinity: Mapping[str, Any]) -> None:
        near, away = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
        self.affinity, self.anti_affinity = _required(near, self.pod), _required(away, self.pod)
        self.preferred_affinity, self.preferred_anti_affinity = _preferred(near, self.pod), _preferred(away, self.pod)

    @property
    def namespace(self) -> str:
        return self.key.namespace

    @property
    def spec(self) -> dict[str, Any]:
        return self.pod["spec"]  # type: ignore[no-any-return]

    @property
    def has_affinity(self) -> bool:
        """Whether the pod says anything about other pods."""
        return bool(self.affinity or self.anti_affinity or self.preferred_affinity or self.preferred_anti_affinity)

    @property
    def owner(self) -> dict[str, Any] | None:
        return controller_of(self.pod)


def _host_ports(spec: Mapping[str, Any]) -> Sequence[HostPort]:
    sidecars = (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    ports = (p for c in (*(spec.get("containers") or ()), *sidecars) for p in c.get("ports") or ())
    return [(p.get("hostIP") or "0.0.0.0", p.get("protocol") or "TCP", p["hostPort"]) for p in ports if p.get("hostPort")]


def _required(affinity: Mapping[str, Any], pod: Object) -> Sequence[AffinityTerm]:
    return [_term(t, pod) for t in affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()]


def _preferred(affinity: Mapping[str, Any], pod: Object) -> Sequence[AffinityTerm]:
    return [_term(t["podAffinityTerm"], pod, t["weight"]) for t in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()]
