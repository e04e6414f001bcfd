"""A node's certificates by way of the API: a request is made, waited for, and its certificate kept beside its key.

The names of files are those that `tiffin up` gives the certificates of its own nodes: `node-NAME-client`, `-network`, `-serving`.
"""
from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tiffin.client.client import Client
from tiffin.cluster.state import write_atomically
from tiffin.controllers.certificates import (
    APPROVED,
    CLIENT,
    DENIED,
    FAILED,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    NODE_GROUP,
    NODE_PREFIX,
    conditions,
)
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, dig, meta

log = logging.getLogger(__name__)

REQUESTS = Resource("certificates.k8s.io", "v1", "certificatesigningrequests")
_PATIENCE = 30.0


class NotCertified(Exception):
    """The request was denied, failed, or nobody decided in time; the message is for the user."""


@dataclass(frozen=True)
class Certificate:
    """One certificate a node needs: whose, by which signer, and the name of its files."""

    file: str
    common_name: str
    organizations: tuple[str, ...]
    signer: str
    purpose: str
    hosts: tuple[str, ...] = ()

    def pair(self, directory: Path) -> tuple[Path, Path]:
        return directory / f"{self.file}.crt", directory / f"{self.file}.key"


def client_of(node: str) -> Certificate:
    return Certificate(f"node-{node}-client", f"{NODE_PREFIX}{node}", (NODE_GROUP,), KUBELET_CLIENT, "client auth")


def network_of(node: str) -> Certificate:
    return Certificate(f"node-{node}-network", "system:kube-proxy", ("system:node-proxiers",), CLIENT, "client auth")


def serving_of(node: str, address: str) -> Certificate:
    return Certificate(f"node-{node}-serving", f"{NODE_PREFIX}{node}", (NODE_GROUP,), KUBELET_SERVING, "server auth", (node, address))


async def enrol(client: Client, wanted: Certificate, directory: Path) -> None:
    """Asks for the certificate with a new key, and keeps both. Raises `NotCertified` and `ApiError`."""
    from tiffin.net.certrequest import new_request

    key, request = new_request(wanted.common_name, wanted.organizations, wanted.hosts)
    pem = await obtain(client, request, wanted.signer, ("digital signature", wanted.purpose), wanted.file)
    certificate_file, key_file = wanted.pair(directory)
    # Nobody reads the pair between the two writes: a reader takes a pair that does not match for none, and looks again.
    write_atomically(key_file, key, mode=0o600)
    write_atomically(certificate_file, pem)


async def keep_enrolled(client: Client, wanted: Sequence[Certificate], directory: Path, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Renews the node's certificates before they end, as the node it is, until cancelled."""
    from tiffin.net.certrequest import validity
    from tiffin.net.pki import RENEW_BEFORE
    from tiffin.net.renewal import RENEW_SECONDS

    while True:
        await sleep(RENEW_SECONDS)
        for each in wanted:
            try:
                if validity(each.pair(directory)[0].read_bytes())[1] - datetime.now(UTC) < RENEW_BEFORE:
                    await enrol(client, each, directory)
                    log.info("certificate %s was renewed", each.file)
            except (NotCertified, ApiError, OSError, ValueError) as error:
                log.warning("certificate %s cannot be renewed: %s", each.file, error)


async def obtain(client: Client, request: bytes, signer: str, usages: Sequence[str], what: str) -> bytes:
    """The certificate (PEM) for a request (PEM). Raises `NotCertified`."""
    name = f"{what}-{secrets.token_hex(4)}"
    spec = {"request": base64.b64encode(request).decode(), "signerName": signer, "usages": list(usages)}
    obj = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name}, "spec": spec}
    created = await client.create(REQUESTS, "", obj)
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _issued(client, name, meta(created)["resourceVersion"])
    except TimeoutError as error:
        advice = f"look at it with: kubectl describe csr {name}"
        raise NotCertified(f"nobody signed the certificate request {name} within {_PATIENCE:.0f} s; {advice}") from error


async def _issued(client: Client, name: str, version: str) -> bytes:
    while True:
        async with aclosing(client.watch(REQUESTS, fields=f"metadata.name={name}", resource_version=version)) as events:  # type: ignore[type-var]
            async for event in events:
                version = meta(event.object).get("resourceVersion", version)
                if event.type in ("ADDED", "MODIFIED") and (pem := _certificate(event.object)):
                    return pem


def _certificate(csr: Object) -> bytes:
    """What was issued; empty as long as nothing is decided. Raises `NotCertified`."""
    found = conditions(csr)
    for kind in (DENIED, FAILED):
        if kind in found:
            raise NotCertified(f"the certificate request was {kind.lower()}: {found[kind].get('message') or found[kind].get('reason', '')}")
    text = dig(csr, "status", "certificate", default="")
    return base64.b64decode(text) if APPROVED in found else b""
