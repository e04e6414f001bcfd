"""Certificate requests of kubelets for themselves, approved without a person where the requestor has the right to it.

A machine that joins asks with its token for `system:node:NAME` (right: create certificatesigningrequests/nodeclient), a node renews
its own (selfnodeclient). A stranger does not become a node that lives: a request for the name of a Ready node by anyone but that node
is denied. Kubernetes leaves this to whoever hands out tokens.

Source: Kubernetes documentation "TLS bootstrapping"; the wording as observed.
"""
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tiffin.controllers import certificates as c
from tiffin.controllers.config import Config
from tiffin.controllers.pods import condition
from tiffin.controllers.resources import CERTIFICATE_REQUESTS, NODES, SUBJECT_ACCESS_REVIEWS
from tiffin.machinery.object import Key, Object, dig
from tiffin.runtime.controller import Change, Changes, Controller, Create, Update, View, Watch, no_keys

_ORDER = (
    ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
    ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
)


def reconcile(config: Config, key: Key, view: View, now: datetime) -> Changes:
    csr = view.get(CERTIFICATE_REQUESTS, *key)
    if csr is None or not c.is_open(csr) or c.signer_of(csr) != c.KUBELET_CLIENT:
        return Changes()
    try:
        asked = config.read_request(c.request_of(csr))
    except c.Unreadable:
        return Changes()
    if c.kubelet_client_fault(asked, c.usages_of(csr)):
        return Changes()
    is_own = dig(csr, "spec", "username") == asked.common_name
    name = asked.common_name.removeprefix(c.NODE_PREFIX)
    if not is_own and (condition(view.get(NODES, "", name) or {}, "Ready") or {}).get("status") == "True":
        message = f"node {name} exists and is Ready; join under another name, or delete that node first"
        return Changes((Update(CERTIFICATE_REQUESTS, c.with_condition(csr, c.DENIED, "NodeExists", message, now), "approval"),))
    return Changes(asks(csr, _ORDER if is_own else _ORDER[1:], now))


def asks(csr: Object, rights: Sequence[tuple[str, str]], now: datetime) -> Sequence[Change]:
    """Approve when the requestor has one of the rights (subresources to create), tried in order; without one it stays as it is."""
    if not rights:
        return ()
    (right, message), *others = rights

    def answered(review: Object) -> Sequence[Change]:
        if not dig(review, "status", "allowed"):
            return asks(csr, others, now)
        return (Update(CERTIFICATE_REQUESTS, c.with_condition(csr, c.APPROVED, "AutoApproved", message, now), "approval"),)

    return (Create(SUBJECT_ACCESS_REVIEWS, review_of(csr, right), then=answered),)


def review_of(csr: Object, right: str) -> Object:
    """The question whether the requestor may create `certificatesigningrequests/<right>`."""
    spec = csr.get("spec") or {}
    who = {"user": spec.get("username", "")} | {field: spec[field] for field in ("uid", "groups", "extra") if spec.get(field)}
    what = {"group": c.GROUP, "resource": "certificatesigningrequests", "verb": "create", "subresource": right, "version": "*"}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": who | {"resourceAttributes": what}}


def controller(config: Config) -> Controller:
    watches = (Watch(CERTIFICATE_REQUESTS), Watch(NODES, keys=no_keys))
    return Controller("certificate-controller", watches, lambda key, view, now: reconcile(config, key, view, now), c.RULES, component="csrapproving")
