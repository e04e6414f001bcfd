"""Approved certificate requests of Kubernetes' own signers: signed, or failed where they break the signer's rules.

Each signer's rules are those of the documentation; other signers' requests are left alone. A request's `expirationSeconds` is kept
between ten minutes and a year.
"""
from __future__ import annotations

import base64
from datetime import datetime, timedelta

from tiffin.controllers import certificates as c
from tiffin.controllers.config import Config
from tiffin.controllers.resources import CERTIFICATE_REQUESTS
from tiffin.machinery.object import Key, Object, dig
from tiffin.runtime.controller import Changes, Controller, Update, View, Watch

SHORTEST, LONGEST = timedelta(minutes=10), timedelta(days=365)


def reconcile(config: Config, key: Key, view: View, now: datetime) -> Changes:
    csr = view.get(CERTIFICATE_REQUESTS, *key)
    if csr is None or not is_due(csr):
        return Changes()
    try:
        asked = config.read_request(c.request_of(csr))
    except c.Unreadable:
        return Changes()  # admission took it for a request; there is nothing to sign
    if fault := signer_fault(c.signer_of(csr), asked, csr):
        return Changes((Update(CERTIFICATE_REQUESTS, c.with_condition(csr, c.FAILED, "SignerValidationFailure", fault, now), "status"),))
    pem = config.sign_certificate(c.request_of(csr), c.usages_of(csr), life(csr))
    signed = csr | {"status": (csr.get("status") or {}) | {"certificate": base64.b64encode(pem).decode()}}
    return Changes((Update(CERTIFICATE_REQUESTS, signed, "status"),))


def is_due(csr: Object) -> bool:
    """Approved, not failed, not signed, and ours to sign."""
    kinds = c.conditions(csr).keys()
    ours = c.signer_of(csr) in (c.CLIENT, c.KUBELET_CLIENT, c.KUBELET_SERVING, c.LEGACY)
    return ours and c.APPROVED in kinds and not kinds & {c.DENIED, c.FAILED} and not dig(csr, "status", "certificate")


def signer_fault(signer: str, asked: c.Asked, csr: Object) -> str:
    """Which rule of the signer the request breaks; empty when none."""
    usages = c.usages_of(csr)
    if signer == c.CLIENT:
        return c.client_fault(usages)
    if signer == c.KUBELET_CLIENT:
        return c.kubelet_client_fault(asked, usages)
    return c.kubelet_serving_fault(asked, usages) if signer == c.KUBELET_SERVING else ""


def life(csr: Object) -> timedelta:
    """How long the certificate is good for."""
    seconds = dig(csr, "spec", "expirationSeconds", default=0)
    return max(SHORTEST, min(LONGEST, timedelta(seconds=seconds))) if seconds else LONGEST


def controller(config: Config) -> Controller:
    watches = (Watch(CERTIFICATE_REQUESTS),)
    return Controller("certificate-controller", watches, lambda key, view, now: reconcile(config, key, view, now), c.RULES, component="csrsigning")
