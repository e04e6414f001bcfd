"""How aggregated servers know this one: the front proxy's certificate, and the ConfigMap that tells whom to believe.

The front proxy has an authority of its own: whoever holds a certificate of it may speak for any user, so no other certificate of
the cluster comes from there. The ConfigMap `extension-apiserver-authentication` in kube-system is what aggregated servers read at
start; the role that lets them is one of the bootstrap roles. Source: Kubernetes, "Configure the Aggregation Layer".
"""
from __future__ import annotations

import ssl
from threading import Lock

import orjson

from tiffin.apiserver.local import LocalClient
from tiffin.client.client import PatchType
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource
from tiffin.net.pki import Pki, ensure_authority
from tiffin.net.tlsclient import client_context

CONFIG_MAPS = Resource("", "v1", "configmaps")
NAMESPACE, NAME = "kube-system", "extension-apiserver-authentication"
CLIENT = "front-proxy-client"


class FrontProxy:
    """The identity this server shows to aggregated servers."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._making = Lock()  # it is made in a thread, and may be wanted meanwhile

    def authority(self) -> Pki:
        """The front proxy's own authority; made on the first call."""
        with self._making:
            return ensure_authority(self._pki.directory / "front-proxy", "front-proxy-ca")

    def trust(self, ca: str, insecure: bool) -> ssl.SSLContext:
        """A context that trusts the PEM bundle `ca` and shows the front proxy's certificate."""
        pair = self.authority().client(CLIENT, CLIENT)
        return client_context(ca, pair.certificate.read_text(), pair.key.read_text(), verify=not insecure)

    def configuration(self) -> dict[str, str]:
        """The data of the ConfigMap."""
        listed = {
            "requestheader-allowed-names": [CLIENT], "requestheader-extra-headers-prefix": ["X-Remote-Extra-"],
            "requestheader-group-headers": ["X-Remote-Group"], "requestheader-uid-headers": ["X-Remote-Uid"],
            "requestheader-username-headers": ["X-Remote-User"]}
        certificates = {
            "client-ca-file": self._pki.ca_pem.decode(), "requestheader-client-ca-file": self.authority().ca_pem.decode()}
        return certificates | {key: orjson.dumps(value).decode() for key, value in listed.items()}


async def publish(client: LocalClient, data: dict[str, str]) -> None:
    """Writes the ConfigMap if it is missing or says something else."""
    try:
        stored: Object | None = await client.get(CONFIG_MAPS, NAMESPACE, NAME)
    except ApiError as error:
        if error.code != 404:
            raise
        stored = None
    if stored is None:
        await client.create(CONFIG_MAPS, NAMESPACE, {"metadata": {"name": NAME, "namespace": NAMESPACE}, "data": data})
    elif any((stored.get("data") or {}).get(key) != value for key, value in data.items()):
        await client.patch(CONFIG_MAPS, NAMESPACE, NAME, {"data": data}, type=PatchType.MERGE)
