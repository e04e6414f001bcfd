"""The asking side of certificates: a new key with a PKCS #10 request for it, and how an authority is known by its key's digest.

Sources: RFC 2986; RFC 7469 section 2.4 (digest of a SubjectPublicKeyInfo).
"""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from tiffin.net.pki import general_names, new_key, private_pem


def new_request(common_name: str, organizations: Sequence[str], hosts: Sequence[str] = ()) -> tuple[bytes, bytes]:
    """A private key and a request for a certificate of that subject, for those hosts (addresses or DNS names); both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    key = new_key()
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(general_names(hosts))), critical=False)
    return private_pem(key), builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def key_digest(certificate: bytes) -> str:
    """`sha256:HEX` of the public key of a certificate in PEM. Raises `ValueError` for what is no certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    key = x509.load_pem_x509_certificate(certificate).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(spki).hexdigest()}"


def validity(certificate: bytes) -> tuple[datetime, datetime]:
    """From when until when the certificate (PEM) is good. Raises `ValueError` for what is no certificate."""
    from cryptography import x509

    loaded = x509.load_pem_x509_certificate(certificate)
    return loaded.not_valid_before_utc, loaded.not_valid_after_utc
