"""One group version that another server answers: where it is, how it is trusted, and what it said of itself."""
from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from typing import Any

from tiffin.apiserver.aggregation.priorities import Priority
from tiffin.apiserver.servicedial import ServiceDialer
from tiffin.machinery.object import Object, name_of
from tiffin.net.httpclient import Origin, Pool

Trust = Callable[[str, bool], ssl.SSLContext]
"""Makes the TLS context for a CA bundle (PEM, "" for the system's) or for nobody's word; it presents the front proxy's certificate."""


class Remote:
    """An APIService with a Service behind it. `available` is what its last check said."""

    def __init__(self, obj: Object, dialer: ServiceDialer, trust: Trust) -> None:
        spec = obj["spec"]
        service = spec["service"]
        self.name, self.group, self.version = name_of(obj), spec.get("group") or "", spec["version"]
        self.namespace, self.service, self.port = service["namespace"], service["name"], service.get("port") or 443
        self.priority = Priority(spec["groupPriorityMinimum"], spec["versionPriority"])
        self.spec = spec
        self.available = False
        self.resources: list[Any] = []
        """The resources of its APIResourceList, as it told them last."""
        self.openapi_v2: Object = {}
        self.openapi_v3: str = ""
        """The hash of its document of version 3, "" where it has none."""
        self.changed = asyncio.Event()
        self._dialer, self._trust = dialer, trust
        self._tls: ssl.SSLContext | None = None
        self._unverified: ssl.SSLContext | None = None

    @property
    def prefix(self) -> str:
        """The path of the group version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def concerns(self, namespace: str, service: str) -> bool:
        return (namespace, service) == (self.namespace, self.service)

    def pool(self) -> Pool:
        """Connections to one of the endpoints, none kept. Raises ApiError where there is none, ssl.SSLError or ValueError for a CA bundle that is none."""
        if self._tls is None:
            bundle = base64.b64decode(self.spec.get("caBundle") or "").decode()
            self._tls = self._trust(bundle, bool(self.spec.get("insecureSkipTLSVerify")))
        return self._pool(self._tls)

    def unverified_pool(self) -> Pool:
        """The same for the availability check, which believes anybody: its answer only decides whether to go on asking."""
        if self._unverified is None:
            self._unverified = self._trust("", True)
        return self._pool(self._unverified)

    def _pool(self, tls: ssl.SSLContext) -> Pool:
        address, port = self._dialer.resolve(self.namespace, self.service, self.port)
        return Pool(Origin(address, port, tls, server_name=f"{self.service}.{self.namespace}.svc"), idle=0)
