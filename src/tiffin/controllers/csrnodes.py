"""What else a node of tiffin needs certified: its own port, and the one name its network parts share.

* kubelet-serving: approved for a node that asks for itself, when every name and address it asks for is the node's as its Node says.
  Kubernetes leaves these to administrators, since a kubelet could claim any address; here the claim is checked against the Node.
* The network parts of all nodes (proxy, DNS) are `system:kube-proxy` in `system:node-proxiers`. Exactly that subject, for a client
  certificate, is approved for whoever may create certificatesigningrequests/nodenetwork: machines that join, and nodes.

Any other request is nobody's business here.
"""
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tiffin.controllers import certificates as c
from tiffin.controllers.config import Config
from tiffin.controllers.csrapproving import asks
from tiffin.controllers.resources import CERTIFICATE_REQUESTS, NODES
from tiffin.machinery.object import Key, Object, dig, key_of, name_of
from tiffin.runtime.controller import Changes, Controller, PolicyRule, Update, View, Watch

NETWORK = c.Asked("system:kube-proxy", ("system:node-proxiers",))
_RULES = (
    PolicyRule((c.GROUP,), ("certificatesigningrequests",), ("get", "list", "watch")),
    PolicyRule((c.GROUP,), ("certificatesigningrequests/approval",), ("update",)),
    PolicyRule((c.GROUP,), ("signers",), ("approve",), (c.KUBELET_SERVING, c.CLIENT)),
    PolicyRule(("",), ("nodes",), ("get", "list", "watch")),
    PolicyRule(("authorization.k8s.io",), ("subjectaccessreviews",), ("create",)),
)


def reconcile(config: Config, key: Key, view: View, now: datetime) -> Changes:
    csr = view.get(CERTIFICATE_REQUESTS, *key)
    if csr is None or not c.is_open(csr) or c.signer_of(csr) not in (c.KUBELET_SERVING, c.CLIENT):
        return Changes()
    try:
        asked = config.read_request(c.request_of(csr))
    except c.Unreadable:
        return Changes()
    if c.signer_of(csr) == c.CLIENT:
        is_network = asked == NETWORK and not c.client_fault(c.usages_of(csr))
        return Changes(asks(csr, [("nodenetwork", "The network parts of a node may have this name.")], now) if is_network else ())
    if not c.kubelet_serving_fault(asked, c.usages_of(csr)) and is_true(asked, csr, view):
        approved = c.with_condition(csr, c.APPROVED, "AutoApproved", "Every name and address is the node's own.", now)
        return Changes((Update(CERTIFICATE_REQUESTS, approved, "approval"),))
    return Changes()


def is_true(asked: c.Asked, csr: Object, view: View) -> bool:
    """The node asks for itself, and all it claims is in its Node."""
    node = view.get(NODES, "", asked.common_name.removeprefix(c.NODE_PREFIX))
    if node is None or dig(csr, "spec", "username") != asked.common_name or c.NODE_GROUP not in dig(csr, "spec", "groups", default=()):
        return False
    own = {each.get("address") for each in dig(node, "status", "addresses", default=())} | {name_of(node)}
    return own >= {*asked.dns_names, *asked.addresses}


def node_keys(node: Object, view: View) -> Iterable[Key]:
    """Requests that came before the node had told its addresses."""
    return [key_of(csr) for csr in view.list(CERTIFICATE_REQUESTS) if c.signer_of(csr) == c.KUBELET_SERVING and c.is_open(csr)]


def _addresses(node: Object) -> object:
    return dig(node, "status", "addresses")


def controller(config: Config) -> Controller:
    watches = (Watch(CERTIFICATE_REQUESTS), Watch(NODES, keys=node_keys, changed=lambda old, new: _addresses(old) != _addresses(new)))
    return Controller("node-certificate-approver", watches, lambda key, view, now: reconcile(config, key, view, now), _RULES)
