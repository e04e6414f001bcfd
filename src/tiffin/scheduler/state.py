"""What the scheduler knows, as arrays: one row per node, columns for resources, labels, taints and counts of pods.

Invariants
* A row belongs to one node name for as long as the node exists; freed rows are reused. `alive` masks the rows in use.
* `requested`, `nonzero`, ports and counts are the sums over the pods placed on the row, assumed ones included.
* Label, taint and selector columns are made when first asked for and kept true from then on.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffin.machinery.object import Object, labels_of, name_of
from tiffin.machinery.selectors import Selector
from tiffin.scheduler.podinfo import AffinityTerm, PodInfo, amount

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FIRST_ROWS = 64
CPU, MEMORY, STORAGE = 0, 1, 2
BLOCKING = ("NoSchedule", "NoExecute")
Taint = tuple[str, str, str]
"""Key, value and effect."""


class PodGroup:
    """How many of the placed pods that one selector means are on each row."""

    __slots__ = ("counts", "matches")

    def __init__(self, matches: Callable[[PodInfo], bool], rows: int) -> None:
        self.matches = matches
        self.counts: Ints = np.zeros(rows, np.int64)


class Domains:
    """The rows by their value of a topology key: `ids` numbers each row's domain, -1 without the label; `count` is how many there are."""

    __slots__ = ("_places", "_single", "count", "ids", "labelled")

    def __init__(self, ids: Ints, count: int) -> None:
        self.ids, self.count = ids, count
        self.labelled: Mask = ids >= 0
        self._places: Ints = ids + 1
        self._single = int(self.labelled.sum()) == count

    def sums(self, counts: Ints, among: Mask | None = None) -> Ints:
        """Each row's sum of `counts` over its domain, of the rows `among` only; 0 for rows without the label."""
        rows = self.labelled if among is None else self.labelled & among
        given = counts * rows
        if self._single:
            return given
        sums = np.bincount(self._places, weights=given, minlength=self.count + 1).astype(np.int64)
        sums[0] = 0
        return sums[self._places]

    def present(self, among: Mask) -> int:
        """How many domains the rows `among` are in."""
        if self._single:
            return int(np.count_nonzero(self.labelled & among))
        return int(np.count_nonzero(np.bincount(self._places[among], minlength=self.count + 1)[1:]))


class State:
    """The cluster as the scheduler sees it."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.nodes: list[Object | None] = [None] * FIRST_ROWS
        self._free = list(range(FIRST_ROWS - 1, -1, -1))
        self.resources: dict[str, int] = {"cpu": CPU, "memory": MEMORY, "ephemeral-storage": STORAGE}
        self.alive: Mask = np.zeros(FIRST_ROWS, bool)
        self.unschedulable: Mask = np.zeros(FIRST_ROWS, bool)
        self.allocatable: Ints = np.zeros((FIRST_ROWS, 3), np.int64)
        self.requested: Ints = np.zeros((FIRST_ROWS, 3), np.int64)
        self.nonzero: Ints = np.zeros((FIRST_ROWS, 2), np.int64)
        self.max_pods: Ints = np.zeros(FIRST_ROWS, np.int64)
        self.pod_count: Ints = np.zeros(FIRST_ROWS, np.int64)
        self.labels: dict[tuple[str, str], Mask] = {}
        self.label_keys: dict[str, Mask] = {}
        self.taints: dict[Taint, Mask] = {}
        self.images: dict[str, tuple[int, Mask]] = {}
        self.ports: dict[tuple[str, int], dict[int, Counter[str]]] = {}
        self.pods: dict[str, PodInfo] = {}
        self.on_row: dict[int, dict[str, PodInfo]] = {}
        self.nominated: dict[str, PodInfo] = {}
        """Pods for which room is being made on a node (`node`), by uid; they are counted by the plan where it matters."""
        self.groups: dict[Any, PodGroup] = {}
        self.anti_terms: dict[AffinityTerm, Ints] = {}
        self.liked_terms: dict[tuple[str, AffinityTerm], Ints] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.domains: dict[str, tuple[int, Domains]] = {}
        self.generation = 0
        """Changes with every change of nodes; masks that depend only on nodes may be kept with it."""

    # nodes

    def _grow(self) -> None:
        old = len(self.nodes)
        self.nodes += [None] * old
        self._free = list(range(2 * old - 1, old - 1, -1))

        def wider(array: Any) -> Any:
            return np.concatenate([array, np.zeros_like(array)])

        for name in ("alive", "unschedulable", "allocatable", "requested", "nonzero", "max_pods", "pod_count"):
            setattr(self, name, wider(getattr(self, name)))
        for table in (self.labels, self.label_keys, self.taints, self.anti_terms, self.liked_terms):
            for key in table:
                table[key] = wider(table[key])  # type: ignore[index]
        self.images = {image: (size, wider(mask)) for image, (size, mask) in self.images.items()}
        for group in self.groups.values():
            group.counts = wider(group.counts)

    def column(self, resource: str) -> int:
        """The column of a resource, added when it is new."""
        column = self.resources.get(resource)
        if column is None:
            column = self.resources[resource] = len(self.resources)
            extra = np.zeros((len(self.nodes), 1), np.int64)
            self.allocatable = np.hstack([self.allocatable, extra])
            self.requested = np.hstack([self.requested, extra])
        return column

    def row(self, name: str) -> int:
        """The row of a node name, made for pods that come before their node."""
        row = self.rows.get(name)
        if row is None:
            if not self._free:
                self._grow()
            row = self.rows[name] = self._free.pop()
            self.on_row[row] = {}
        return row

    def put_node(self, node: Object) -> None:
        self.generation += 1
        row = self.row(name_of(node))
        self.nodes[row], self.alive[row] = node, True
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self.unschedulable[row] = bool(spec.get("unschedulable"))
        allocatable = status.get("allocatable") or status.get("capacity") or {}
        self.allocatable[row] = 0
        for resource, quantity in allocatable.items():
            if resource == "pods":
                continue
            column = self.column(resource)
            self.allocatable[row, column] = amount(resource, quantity)
        self.max_pods[row] = amount("pods", allocatable.get("pods", 0))
        self._put_labels(row, {**labels_of(node)})
        self._put_taints(row, spec.get("taints") or ())
        self._put_images(row, status.get("images") or ())

    def _put_labels(self, row: int, labels: Mapping[str, str]) -> None:
        for (key, value), mask in self.labels.items():
            mask[row] = labels.get(key) == value
        for key, mask in self.label_keys.items():
            mask[row] = key in labels

    def _put_taints(self, row: int, taints: Iterable[Mapping[str, str]]) -> None:
        own = {(t["key"], t.get("value") or "", t["effect"]) for t in taints}
        for taint in own - self.taints.keys():
            self.taints[taint] = np.zeros(len(self.nodes), bool)
        for taint, mask in self.taints.items():
            mask[row] = taint in own

    def _put_images(self, row: int, images: Iterable[Mapping[str, Any]]) -> None:
        for _, mask in self.images.values():
            mask[row] = False
        for image in images:
            for name in image.get("names") or ():
                size, mask = self.images.get(name) or (0, np.zeros(len(self.nodes), bool))
                mask[row] = True
                self.images[name] = (image.get("sizeBytes") or size, mask)

    def remove_node(self, name: str) -> None:
        """Forgets a node; its row stays while pods are on it."""
        row = self.rows.get(name)
        if row is None:
            return
        self.generation += 1
        self.nodes[row], self.alive[row], self.unschedulable[row] = None, False, False
        self.allocatable[row] = self.max_pods[row] = 0
        self._put_labels(row, {})
        self._put_taints(row, ())
        self._put_images(row, ())
        self._release(name, row)

    def _release(self, name: str, row: int) -> None:
        if not self.alive[row] and not self.on_row[row]:
            del self.rows[name], self.on_row[row]
            self._free.append(row)

    # columns made on demand

    def label(self, key: str, value: str) -> Mask:
        """Rows whose node has this label."""
        mask = self.labels.get((key, value))
        if mask is None:
            mask = self.labels[key, value] = np.array([labels_of(n).get(key) == value if n else False for n in self.nodes])
        return mask

    def label_key(self, key: str) -> Mask:
        mask = self.label_keys.get(key)
        if mask is None:
            mask = self.label_keys[key] = np.array([key in labels_of(n) if n else False for n in self.nodes])
        return mask

    def domain(self, key: str) -> Domains:
        """The domains of a topology key."""
        known = self.domains.get(key)
        if known is None or known[0] != self.generation or len(known[1].ids) != len(self.nodes):
            numbers: dict[str, int] = {}
            ids = np.full(len(self.nodes), -1, np.int64)
            for row, node in enumerate(self.nodes):
                value = labels_of(node).get(key) if node else None
                if value is not None:
                    ids[row] = numbers.setdefault(value, len(numbers))
            known = self.domains[key] = (self.generation, Domains(ids, len(numbers)))
        return known[1]

    def group(self, key: Any, matches: Callable[[PodInfo], bool]) -> Ints:
        """Counts per row of the placed pods that match; `key` identifies the function."""
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = PodGroup(matches, len(self.nodes))
            for info in self.pods.values():
                if matches(info):
                    group.counts[self.rows[info.node]] += 1
        return group.counts

    def matching(self, namespace: str, selector: Selector) -> Ints:
        """Counts of pods of one namespace that a selector means, those being deleted left out."""

        def matches(info: PodInfo) -> bool:
            return info.namespace == namespace and not info.pod["metadata"].get("deletionTimestamp") and selector.matches(info.labels)

        return self.group(("spread", namespace, selector), matches)

    def selected_by(self, term: AffinityTerm) -> Ints:
        """Counts of pods that an affinity term means."""
        plain = AffinityTerm("", term.selector, term.namespaces, term.namespace_selector)
        return self.group(("affinity", plain), lambda info: plain.selects(info.namespace, info.labels, self.namespaces.get(info.namespace, {})))

    # pods

    def place(self, info: PodInfo) -> None:
        """Counts a pod on its node (`info.node`)."""
        self.displace(info.uid)
        row = self.row(info.node)
        self.pods[info.uid] = info
        self.on_row[row][info.uid] = info
        self._count(info, row, 1)

    def displace(self, uid: str) -> PodInfo | None:
        """Takes a pod off its node again; None when it was on none."""
        info = self.pods.pop(uid, None)
        if info is not None:
            row = self.rows[info.node]
            del self.on_row[row][uid]
            self._count(info, row, -1)
            self._release(info.node, row)
        return info

    def _count(self, info: PodInfo, row: int, sign: int) -> None:
        for resource, value in info.requests.items():
            column = self.column(resource)  # before the array is looked up: a new column makes a new array
            self.requested[row, column] += sign * value
        self.nonzero[row, 0] += sign * info.nonzero[0]
        self.nonzero[row, 1] += sign * info.nonzero[1]
        self.pod_count[row] += sign
        for address, protocol, port in info.ports:
            self.ports.setdefault((protocol, port), {}).setdefault(row, Counter())[address] += sign
        for group in self.groups.values():
            if group.matches(info):
                group.counts[row] += sign
        if info.has_affinity:
            self._count_terms(info, row, sign)

    def _count_terms(self, info: PodInfo, row: int, sign: int) -> None:
        for term in info.anti_affinity:
            self.anti_terms.setdefault(term, np.zeros(len(self.nodes), np.int64))[row] += sign
        for kind, terms in (("required", info.affinity), ("like", info.preferred_affinity), ("dislike", info.preferred_anti_affinity)):
            for term in terms:
                self.liked_terms.setdefault((kind, term), np.zeros(len(self.nodes), np.int64))[row] += sign
