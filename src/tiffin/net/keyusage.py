"""What a certificate may be used for: the usages of a CertificateSigningRequest as X.509 extensions (RFC 5280, 4.2.1.3 and 4.2.1.12)."""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

SERVER, CLIENT = "server auth", "client auth"


def usage_extensions(usages: set[str]) -> Iterable[tuple[x509.ExtensionType, bool]]:
    """The extensions that say so, each with whether it is critical."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID as Extended

    known = {SERVER: Extended.SERVER_AUTH, CLIENT: Extended.CLIENT_AUTH, "code signing": Extended.CODE_SIGNING}
    known |= {"email protection": Extended.EMAIL_PROTECTION, "timestamping": Extended.TIME_STAMPING, "ocsp signing": Extended.OCSP_SIGNING}
    yield key_usage(usages), True
    extended = [identifier for name, identifier in known.items() if name in usages]
    if extended:
        yield x509.ExtendedKeyUsage(extended), False


def key_usage(usages: set[str]) -> x509.KeyUsage:
    """The basic extension; usages it does not know are the extended one's."""
    from cryptography import x509

    agreement = "key agreement" in usages
    return x509.KeyUsage(
        digital_signature=bool(usages & {"digital signature", "signing"}),
        content_commitment="content commitment" in usages,
        key_encipherment="key encipherment" in usages,
        data_encipherment="data encipherment" in usages,
        key_agreement=agreement,
        key_cert_sign="cert sign" in usages,
        crl_sign="crl sign" in usages,
        encipher_only=agreement and "encipher only" in usages,
        decipher_only=agreement and "decipher only" in usages,
    )
