"""Whether a certificate and a key belong together, and why not in the words of Go's TLS library.

What is inside of the blocks is read by the cryptography package, which is loaded when there are blocks to read.
"""
from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

_block = re.compile(rb"-----BEGIN ([^\r\n]*?)-----[ \t]*\r?\n(.*?)-----END \1-----", re.DOTALL)
_header = re.compile(rb"[^\n]*:[^\n]*\n")


def pair_complaint(certificate: bytes, key: bytes) -> str:
    """The first thing that is wrong with PEM text of a certificate chain and of a private key, "" where nothing is."""
    skipped: list[str] = []
    found = None
    for kind, content in _blocks(certificate):
        if kind == "CERTIFICATE":
            found = found or content
        else:
            skipped.append(kind)
    if found is None:
        return _no_certificate(skipped)
    skipped = []
    for kind, content in _blocks(key):
        if kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY"):
            return _mismatch(found, content)
        skipped.append(kind)
    if not skipped:
        return "tls: failed to find any PEM data in key input"
    if skipped == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    return f'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the following types: {_go(skipped)}'


def _blocks(text: bytes) -> Iterator[tuple[str, bytes]]:
    for match in _block.finditer(text):
        content = match[2]
        while header := _header.match(content):
            content = content[header.end():]
        try:
            yield match[1].decode("utf-8", "replace"), base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error:  # what does not decode is no block, and the next one is looked for
            continue


def _no_certificate(skipped: list[str]) -> str:
    if not skipped:
        return "tls: failed to find any PEM data in certificate input"
    if len(skipped) == 1 and skipped[0].endswith("PRIVATE KEY"):
        return "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
    return f'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following types: {_go(skipped)}'


def _go(kinds: list[str]) -> str:
    return f"[{' '.join(kinds)}]"


def _mismatch(certificate: bytes, key: bytes) -> str:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        private = load_der_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if type(public) is not type(private.public_key()):
        return "tls: private key type does not match public key type"
    return "" if public.public_bytes(*form) == private.public_key().public_bytes(*form) else "tls: private key does not match public key"
