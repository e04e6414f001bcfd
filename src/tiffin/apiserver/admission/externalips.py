"""DenyServiceExternalIPs: nobody takes over an address by writing it into a Service (CVE-2020-8554)."""

from __future__ import annotations

from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import Plugin
from tiffin.machinery.object import Object, dig


class DenyServiceExternalIPs(Plugin):
    """Addresses a Service already has may stay or go, new ones are refused."""

    resources = ("services",)

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.subresource or obj is None:
            return
        before = set(dig(old, "spec", "externalIPs", default=[]))
        if set(dig(obj, "spec", "externalIPs", default=[])) - before:
            raise forbidden(a, obj, "Use of external IPs is denied by admission control")
