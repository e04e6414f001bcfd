"""networking.k8s.io/v1beta1, served from 1.14 to 1.21."""
from __future__ import annotations

from tiffin.api.legacy import ingress
from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import Retired

_V1BETA1 = Package("networking.v1beta1", "networking.k8s.io", "v1beta1", "networking.v1", ("Ingress", "IngressClass"), ingress.CHANGES, texts=ingress.TEXTS)
PACKAGES = (_V1BETA1,)
VERSIONS = (
    Retired("ingresses.networking.k8s.io", _V1BETA1, "1.19", "1.22", from_stored=ingress.from_v1, to_stored=ingress.to_v1, default=ingress.default),
    # Kubernetes itself names the list
    Retired("ingressclasses.networking.k8s.io", _V1BETA1, "1.19", "1.22", "networking.k8s.io/v1 IngressClassList"),
)
