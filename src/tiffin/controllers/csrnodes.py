"""What else a node of tiffin needs certified: its own port, and the one name its network parts share.

* kubelet-serving: approved for a node that asks for itself, when every name and address it asks for is the node's as its Node says.
  Kubernetes leaves these to administrators, since a kubelet could claim any address. Here the claim is checked against the Node; and
  since a node writes that, too, nothing is approved that belongs to the API server, to a Service, to another node or to everybody:
  with such a certificate a node could pass for them.
* The network parts of all nodes (proxy, DNS) are `system:kube-proxy` in `system:node-proxiers`. Exactly that subject, for a client
  certificate, is approved for whoever may create certificatesigningrequests/nodenetwork: machines that join, and nodes.

Any other request is nobody's business here.
"""
from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

from tiffin.controllers import certificates as c
from tiffin.controllers.config import Config
from tiffin.controllers.csrapproving import asks
from tiffin.controllers.resources import CERTIFICATE_REQUESTS, NODES
from tiffin.machinery.names import is_dns1123_subdomain, is_valid_ip
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
    if not c.kubelet_serving_fault(asked, c.usages_of(csr)) and is_true(config, asked, csr, view):
        approved = c.with_condition(csr, c.APPROVED, "AutoApproved", "Every name and address is the node's own.", now)
        return Changes((Update(CERTIFICATE_REQUESTS, approved, "approval"),))
    return Changes()


def is_true(config: Config, asked: c.Asked, csr: Object, view: View) -> bool:
    """The node asks for itself, and all it claims is in its Node and can be a node's."""
    node = view.get(NODES, "", asked.common_name.removeprefix(c.NODE_PREFIX))
    if node is None or dig(csr, "spec", "username") != asked.common_name or c.NODE_GROUP not in dig(csr, "spec", "groups", default=()):
        return False
    if not {*_addresses_of(node), name_of(node)} >= {*asked.dns_names, *asked.addresses}:
        return False
    others = [each for each in view.list(NODES) if name_of(each) != name_of(node)]
    taken = {*config.server_hosts, *(name for each in others for name in (name_of(each), *_addresses_of(each)))}
    return all(_is_free(name, taken) for name in asked.dns_names) and all(_is_free_address(address, taken) for address in asked.addresses)


def _is_free(name: str, taken: Container[str]) -> bool:
    labels = name.split(".")
    return not is_dns1123_subdomain(name) and name not in taken and "svc" not in labels and labels[-1] != "localhost"


def _is_free_address(text: str, taken: Iterable[str]) -> bool:
    address = _plain(text)
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return not any(not is_valid_ip(each) and _plain(each) == address for each in taken)


def _plain(text: str) -> IPv4Address | IPv6Address:
    """The address; an IPv4 address in IPv6's clothes is an IPv4 address, as clients take it for one."""
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def _addresses_of(node: Object) -> list[str]:
    return [str(each.get("address")) for each in dig(node, "status", "addresses", default=())]


def node_keys(node: Object, view: View) -> Iterable[Key]:
    """Requests that came before the node had told its addresses."""
    return [key_of(csr) for csr in view.list(CERTIFICATE_REQUESTS) if c.signer_of(csr) == c.KUBELET_SERVING and c.is_open(csr)]


def _addresses(node: Object) -> object:
    return dig(node, "status", "addresses")


def controller(config: Config) -> Controller:
    watches = (Watch(CERTIFICATE_REQUESTS), Watch(NODES, keys=node_keys, changed=lambda old, new: _addresses(old) != _addresses(new)))
    return Controller("node-certificate-approver", watches, lambda key, view, now: reconcile(config, key, view, now), _RULES)
