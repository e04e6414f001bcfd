"""What the controllers of certificate requests cannot do themselves: read X.509, and sign with the cluster's authority.

X.509 code is loaded with the first request, not with the server.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from tiffin.controllers.certificates import Asked, Unreadable
from tiffin.net.pki import InvalidRequest, Pki, parse_request, subject


def read_request(pem: bytes) -> Asked:
    """Subject and alternative names of a PKCS #10 request. Raises `Unreadable`, also for kinds of names that no signer's rules speak of."""
    from cryptography import x509

    try:
        csr = parse_request(pem)
    except InvalidRequest as error:
        raise Unreadable(str(error)) from error
    common_name, organizations = subject(csr.subject)
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Asked(common_name, organizations)
    except ValueError as error:
        raise Unreadable(str(error)) from error

    known = (x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier)
    if unknown := [type(name).__name__ for name in names if not isinstance(name, known)]:
        raise Unreadable(f"alternative names of type {unknown[0]} are not signed")

    def of(kind: type[x509.GeneralName]) -> tuple[str, ...]:
        return tuple(str(name.value) for name in names if isinstance(name, kind))

    return Asked(common_name, organizations, of(x509.DNSName), of(x509.IPAddress), of(x509.RFC822Name), of(x509.UniformResourceIdentifier))


def signer(pki: Pki) -> Callable[[bytes, Sequence[str], timedelta], bytes]:
    """Signs with the authority of `pki`."""
    return lambda request, usages, life: pki.sign(request, usages, life)


def certificate_end(pem: bytes) -> datetime:
    """When the first certificate of the chain ends; long ago for what is none."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
