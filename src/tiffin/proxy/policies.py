"""NetworkPolicies on one node: which of its pods are isolated, and by which chains; who is in which set of peers.

* A pod of this node that a policy selects has its address in the map `policy-ingress` or `policy-egress`, which leads to a chain with the
  lines of all policies that select it. Pods selected by the same policies share a chain.
* Every pod of the cluster is in the sets of peers that it matches. A change of one pod is a few elements, never a rule.
* Traffic of connections that were let in, and between a pod and its own node, passes; `skeleton.py` has the chains that say so.
* The name server answers on the node itself; for policies it is a pod of kube-system labelled k8s-app: kube-dns.
"""
from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from ipaddress import ip_address

from tiffin.machinery.object import Key, Object, key_of, labels_of, name_of
from tiffin.proxy.ledger import Item, Ledger, chain, declared_set, element
from tiffin.proxy.policyrules import EGRESS, INGRESS, Members, PodView, Policy, pod_view, read_policy

log = logging.getLogger(__name__)

MAPS = {INGRESS: "policy-ingress", EGRESS: "policy-egress"}
NAME_SERVER_LABELS = {"k8s-app": "kube-dns"}


class Policies:
    """All policies, namespaces and pods as one node's enforcement sees them."""

    def __init__(self, node_name: str, name_servers: Sequence[str]) -> None:
        self._node_name = node_name
        self._policies: dict[Key, Policy] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._pods: dict[Key, PodView] = {}
        self._members: dict[str, Members] = {}
        self._dirty_pods: dict[Key, None] = {}
        self._dirty_namespaces: set[str] = set()
        self._policies_changed = False
        if name_servers:
            server = PodView(Key("kube-system", "name server"), NAME_SERVER_LABELS, "", tuple(name_servers))
            self._pods[server.key] = server

    # what happens in the cluster

    @property
    def in_force(self) -> bool:
        """Whether there is any policy: without one, nobody needs to know the pods."""
        return bool(self._policies)

    @property
    def is_dirty(self) -> bool:
        return bool(self._dirty_pods or self._dirty_namespaces or self._policies_changed)

    def policy_changed(self, old: Object | None, new: Object | None) -> None:
        key = key_of(new or old or {})
        try:
            after = None if new is None else read_policy(new)
        except Exception:
            # The older version of a policy stays in force: to drop it would open what it closes.
            log.exception("network policy %s/%s is not understood, and is not followed", *key)
            return
        if self._policies.get(key) == after:
            return
        if after is None:
            del self._policies[key]
        else:
            self._policies[key] = after
        self._policies_changed = True
        self._dirty_namespaces.add(key.namespace)

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        key = key_of(new or old or {})
        after = pod_view(new) if new is not None else None
        if self._pods.get(key) == after:
            return
        if after is None:
            del self._pods[key]
        else:
            self._pods[key] = after
        self._dirty_pods[key] = None

    def namespace_changed(self, old: Object | None, new: Object | None) -> None:
        name = name_of(new or old or {})
        labels = labels_of(new) if new is not None else {}
        if self._namespaces.get(name) == labels:
            return
        self._namespaces[name] = labels
        if new is None:
            del self._namespaces[name]
        self._dirty_pods.update(dict.fromkeys(key for key in self._pods if key.namespace == name))

    def forget_pods(self) -> None:
        """Pods are not followed any more."""
        for key in [key for key, pod in self._pods.items() if pod.node]:
            del self._pods[key]
            self._dirty_pods[key] = None

    # what follows

    def plan(self, ledger: Ledger) -> None:
        """Claims what has to be in the table now, and lets go of what has not."""
        if self._policies_changed:
            self._plan_members(ledger)
        isolated = {key for key in self._pods if key.namespace in self._dirty_namespaces}
        for key in self._dirty_pods:
            self._join(key, self._members.values(), ledger)
        for key in isolated | self._dirty_pods.keys():
            ledger.replace(("policy", "pod", *key), self._isolation(key))
        self._dirty_pods.clear()
        self._dirty_namespaces.clear()
        self._policies_changed = False

    def _plan_members(self, ledger: Ledger) -> None:
        """The sets that some policy refers to, filled."""
        wanted = {m.name: m for policy in self._policies.values() for direction in policy.directions.values() for m in direction.members}
        gone, new = self._members.keys() - wanted.keys(), [m for name, m in wanted.items() if name not in self._members]
        for name in gone:
            for key in self._pods:
                ledger.replace(("policy", "member", name, *key), {})
        self._members = wanted
        for key in self._pods:
            self._join(key, new, ledger)

    def _join(self, key: Key, sets: Iterable[Members], ledger: Ledger) -> None:
        """The pod's addresses in those of the sets that include it."""
        pod = self._pods.get(key)
        labels = self._namespaces.get(key.namespace, {})
        for members in sets:
            items: dict[Item, str] = {}
            if pod is not None and members.include(pod, labels):
                for address in pod.addresses:
                    family = _family(address)
                    items[declared_set(family, members.name)] = members.declaration(family)
                    items.update((element(family, members.name, each), "") for each in members.keys(pod, address))
            ledger.replace(("policy", "member", members.name, *key), items)

    def _isolation(self, key: Key) -> dict[Item, str]:
        pod = self._pods.get(key)
        items: dict[Item, str] = {}
        if pod is None or pod.node != self._node_name:
            return items
        selecting = [p for _, p in sorted(self._policies.items()) if p.key.namespace == key.namespace and p.pods.matches(pod.labels)]
        for type, map_name in MAPS.items():
            directions = [policy.directions[type] for policy in selecting if type in policy.directions]
            if directions:
                for address in pod.addresses:
                    family = _family(address)
                    lines = [*dict.fromkeys(line for direction in directions for line in direction.lines[family]), "drop"]
                    name = f"{map_name}-{sha256(chr(10).join(lines).encode()).hexdigest()[:16]}"
                    items[chain(family, name)] = "\n".join(lines)
                    items[element(family, map_name, address)] = f"jump {name}"
                    items.update((declared_set(family, m.name), m.declaration(family)) for d in directions for m in d.members)
        return items


def _family(address: str) -> str:
    return "ip" if ip_address(address).version == 4 else "ip6"
