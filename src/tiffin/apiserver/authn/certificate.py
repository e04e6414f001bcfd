"""Client certificates: the common name is the user, the organizations are the groups.

TLS has verified the chain against the client authority; what is left is that the certificate is for clients at all and still
valid: a connection may outlive its certificate. `cryptography` is imported with the first certificate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from tiffin.apiserver.authn.tokens import Refused, Session
from tiffin.apiserver.user import AUTHENTICATED, User

_KEPT = 4096


class Certificates:
    """Identities by certificate, remembered by its DER."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._sessions: dict[bytes, Session | None] = {}

    def session(self, der: bytes) -> Session | None:
        """None for a certificate without a common name, which names nobody. Raises Refused."""
        try:
            session = self._sessions[der]
        except KeyError:
            if len(self._sessions) >= _KEPT:
                self._sessions.clear()
            session = self._sessions[der] = _session(der)
        if session and self._now() >= session.expires:
            raise Refused("certificate has expired")
        return session


def _session(der: bytes) -> Session | None:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    from tiffin.net.pki import subject

    certificate = x509.load_der_x509_certificate(der)
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usages = None
    if usages is not None and not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
        raise Refused("certificate is not for client authentication")
    name, groups = subject(certificate.subject)
    if not name:
        return None
    extra = {"authentication.kubernetes.io/credential-id": (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
    return Session(User(name, groups=(*groups, AUTHENTICATED), extra=extra), certificate.not_valid_after_utc.timestamp())
