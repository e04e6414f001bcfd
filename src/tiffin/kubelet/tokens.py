"""Service-account tokens for pods, asked of the API server and bound to the pod. Nothing here is logged."""
from __future__ import annotations

from datetime import datetime

from tiffin.client.client import Client
from tiffin.kubelet.references import References
from tiffin.machinery.object import Object, Resource, dig, name_of, namespace_of, uid_of
from tiffin.machinery.timestamps import parse_time
from tiffin.runtime.clock import Clock

SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")


class PodObjects:
    """Where the volumes of a node's pods find their content."""

    def __init__(self, client: Client, clock: Clock, references: References) -> None:
        self._client, self._clock, self._references = client, clock, references

    async def config_map(self, namespace: str, name: str) -> Object | None:
        return await self._references.config_map(namespace, name)

    async def secret(self, namespace: str, name: str) -> Object | None:
        return await self._references.secret(namespace, name)

    async def token(self, pod: Object, audience: str, seconds: int) -> tuple[str, datetime, datetime]:
        """A token, when it was issued and when it expires. Raises ApiError and OSError."""
        issued = self._clock.now()
        bound = {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)}
        spec = {"audiences": [audience] if audience else [], "expirationSeconds": seconds, "boundObjectRef": bound}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec}
        account = dig(pod, "spec", "serviceAccountName", default="default")
        answer = await self._client.create(SERVICE_ACCOUNTS, namespace_of(pod), request, name=account, subresource="token")
        return answer["status"]["token"], issued, parse_time(answer["status"]["expirationTimestamp"])
