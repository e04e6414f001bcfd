"""What the scheduler needs of a pod, read out of the object once."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tiffin.api.core.podspec.resources import pod_requests
from tiffin.machinery.object import Key, Object, controller_of, key_of, labels_of, meta
from tiffin.machinery.quantity import to_int, to_milli
from tiffin.machinery.selectors import Selector, from_label_selector

DEFAULT_MILLI_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024
"""What a container without requests counts as when nodes are compared, so that many such pods spread."""


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


@dataclass
class PodInfo:
    """A pod as the scheduler sees it; `node` is the row it is on, -1 while it has none."""

    pod: Object
    requests: dict[str, int] = field(default_factory=dict)
    nonzero: tuple[int, int] = (0, 0)
    node: str = ""

    @classmethod
    def of(cls, pod: Object) -> PodInfo:
        spec = pod["spec"]
        requests = {name: amount(name, value) for name, value in pod_requests(spec).items()}
        containers = spec.get("containers") or ()
        missing = [sum(1 for c in containers if name not in ((c.get("resources") or {}).get("requests") or {})) for name in ("cpu", "memory")]
        nonzero = (requests.get("cpu", 0) + missing[0] * DEFAULT_MILLI_CPU, requests.get("memory", 0) + missing[1] * DEFAULT_MEMORY)
        return cls(pod, requests, nonzero, spec.get("nodeName") or "")

    @cached_property
    def key(self) -> Key:
        return key_of(self.pod)

    @property
    def uid(self) -> str:
        return meta(self.pod).get("uid") or ""

    @property
    def namespace(self) -> str:
        return self.key.namespace

    @property
    def spec(self) -> dict[str, Any]:
        return self.pod["spec"]  # type: ignore[no-any-return]

    @property
    def priority(self) -> int:
        return self.spec.get("priority") or 0

    @cached_property
    def labels(self) -> Mapping[str, str]:
        return labels_of(self.pod)

    @cached_property
    def ports(self) -> list[tuple[str, str, int]]:
        """Host ports as (host address, protocol, port)."""
        found = []
        containers = [*(self.spec.get("containers") or ()), *(c for c in self.spec.get("initContainers") or () if c.get("restartPolicy") == "Always")]
        for container in containers:
            for port in container.get("ports") or ():
                if port.get("hostPort"):
                    found.append((port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"]))
        return found

    @cached_property
    def images(self) -> list[str]:
        return [c.get("image") or "" for c in (*(self.spec.get("initContainers") or ()), *self.spec["containers"])]

    def _terms(self, kind: str) -> list[AffinityTerm]:
        affinity = (self.spec.get("affinity") or {}).get(kind) or {}
        return [_term(t, self.pod) for t in affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()]

    def _weighted(self, kind: str) -> list[AffinityTerm]:
        affinity = (self.spec.get("affinity") or {}).get(kind) or {}
        return [_term(t["podAffinityTerm"], self.pod, t["weight"]) for t in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()]

    @cached_property
    def affinity(self) -> list[AffinityTerm]:
        return self._terms("podAffinity")

    @cached_property
    def anti_affinity(self) -> list[AffinityTerm]:
        return self._terms("podAntiAffinity")

    @cached_property
    def preferred_affinity(self) -> list[AffinityTerm]:
        return self._weighted("podAffinity")

    @cached_property
    def preferred_anti_affinity(self) -> list[AffinityTerm]:
        return self._weighted("podAntiAffinity")

    @property
    def has_affinity(self) -> bool:
        affinity = self.spec.get("affinity") or {}
        return bool(affinity.get("podAffinity") or affinity.get("podAntiAffinity"))

    @cached_property
    def owner(self) -> dict[str, Any] | None:
        return controller_of(self.pod)
