"""admissionregistration.k8s.io/v1beta1, served from 1.9 to 1.21: webhooks that need say little.

What they did not say meant: failures are ignored, rules match exactly what they name, nobody knows the side effects, thirty seconds, and
reviews in v1beta1.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import Retired
from tiffin.machinery.object import Object

_GROUP = "admissionregistration.k8s.io"
_OPTIONAL: dict[str, Any] = {"sideEffects": "*s=v1.SideEffectClass;", "admissionReviewVersions": ["[s", {"lt": "atomic"}]}
_V1BETA1 = Package(
    "admissionregistration.v1beta1", _GROUP, "v1beta1", "admissionregistration.v1",
    ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"), {"MutatingWebhook": _OPTIONAL, "ValidatingWebhook": _OPTIONAL})


def _default(obj: Object) -> None:
    for hook in obj.get("webhooks") or ():
        for field, value in (("failurePolicy", "Ignore"), ("matchPolicy", "Exact"), ("sideEffects", "Unknown"), ("timeoutSeconds", 30)):
            hook.setdefault(field, value)
        if not hook.get("admissionReviewVersions"):
            hook["admissionReviewVersions"] = ["v1beta1"]


PACKAGES = (_V1BETA1,)
VERSIONS = tuple(
    Retired(f"{plural}.{_GROUP}", _V1BETA1, "1.16", "1.22", default=_default)
    for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"))
