"""TLS contexts for the calling side: whom to trust and who we are, from PEM text."""
from __future__ import annotations

import ssl
import tempfile


def client_context(ca: str = "", certificate: str = "", key: str = "", *, verify: bool = True) -> ssl.SSLContext:
    """A context that trusts the PEM bundle `ca` (the system's when empty) and presents `certificate` with `key` if given.

    `verify=False` accepts any server, for `insecure-skip-tls-verify` only. Raises ssl.SSLError for PEM that is none.
    """
    context = ssl.create_default_context(cadata=ca or None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        load_pair(context, certificate, key)
    return context


def load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Gives the context a certificate chain and its key, both PEM text."""
    # The ssl module reads key pairs from files only; this one is readable by its owner alone and gone at once.
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(f"{certificate.rstrip()}\n{key}")
        file.flush()
        context.load_cert_chain(file.name)
