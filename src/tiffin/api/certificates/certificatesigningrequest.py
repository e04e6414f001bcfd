"""CertificateSigningRequest."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="certificates.k8s.io",
    version="v1",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    schema="io.k8s.api.certificates.v1.CertificateSigningRequest",
    singular="certificatesigningrequest",
    namespaced=False,
    short_names=("csr",),
    subresources=(
        Subresource("approval", updates_object=True),
        Subresource("status", updates_object=True),
    ),
)
