"""Who may use the node's own port: every request is authenticated and authorized by the API server, and refused when in doubt.

A client certificate (verified by TLS against the cluster's authority) or a bearer token (TokenReview) says who it is; a
SubjectAccessReview on the node's subresource says whether it may. Nobody is anonymous here.

Bounds (CVE-2019-11248, CVE-2020-8551): decisions are kept for a while, both kinds and at most `KEPT` each; at most `REVIEWS`
reviews are under way and `WAITING` wait, whatever else comes is told to come back later.

Source: kubelet authentication/authorization (webhook mode), KEP-2862 (fine-grained kubelet authorization).
"""
from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tiffin.client.client import Client
from tiffin.machinery.errors import ApiError, service_unavailable, too_many_requests, unauthorized
from tiffin.machinery.object import Object, Resource, dig
from tiffin.net.http import Request

TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews")
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews")
AUTHENTICATED = "system:authenticated"
KEPT = 1024
REVIEWS = 8
WAITING = 64
TOKEN_LIFE = 120.0
ALLOWED_LIFE = 300.0
DENIED_LIFE = 30.0
MAX_TOKEN = 16 * 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """An identity, as in `UserInfo`."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values with an end, at most `KEPT` of them: the oldest go first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._values: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> tuple[V] | None:
        """The value in a tuple, as a value may be None."""
        found = self._values.get(key)
        if found is None or found[0] <= self._clock():
            return None
        return (found[1],)

    def put(self, key: K, value: V, life: float) -> V:
        self._values.pop(key, None)
        if len(self._values) >= KEPT:
            del self._values[next(iter(self._values))]
        self._values[key] = (self._clock() + life, value)
        return value


class Access:
    """The gate of one node's port. `clock` gives seconds that never go back."""

    def __init__(self, client: Client, node: str, clock: Callable[[], float]) -> None:
        self._client, self._node, self._clock = client, node, clock
        self._callers: Kept[bytes, Caller | None] = Kept(clock)
        self._decisions: Kept[tuple[Caller, str, str], bool] = Kept(clock)
        self._reviews = asyncio.Semaphore(REVIEWS)
        self._waiting = 0

    async def check(self, request: Request, verb: str, subresources: tuple[str, ...]) -> Caller:
        """The caller, where any of the node's `subresources` is allowed to it; raises ApiError 401, 403, 429 or 503."""
        caller = await self._caller(request)
        if caller is None:
            raise unauthorized()
        for subresource in subresources:
            if await self._allowed(caller, verb, subresource):
                return caller
        listed = " ".join(subresources)
        raise ApiError(403, "Forbidden", f"Forbidden (user={caller.name}, verb={verb}, resource=nodes, subresource(s)=[{listed}])")

    # ---- who

    async def _caller(self, request: Request) -> Caller | None:
        if request.peer_certificate is not None:
            return _certified(request.peer_certificate)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN:
            return None
        key = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        if (kept := self._callers.get(key)) is not None:
            return kept[0]
        review: Object = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = dig(await self._review(TOKEN_REVIEWS, review), "status", default={})
        user = status.get("user") or {}
        known = status.get("authenticated") is True and user.get("username")
        caller = Caller(user["username"], tuple(user.get("groups") or ()), user.get("uid") or "") if known else None
        return self._callers.put(key, caller, TOKEN_LIFE if caller else DENIED_LIFE)

    # ---- whether

    async def _allowed(self, caller: Caller, verb: str, subresource: str) -> bool:
        key = (caller, verb, subresource)
        if (kept := self._decisions.get(key)) is not None:
            return kept[0]
        attributes = {"verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": self._node}
        spec = {"user": caller.name, "groups": list(caller.groups), "uid": caller.uid, "resourceAttributes": attributes}
        review: Object = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = await self._review(ACCESS_REVIEWS, review)
        allowed = dig(answer, "status", "allowed") is True and dig(answer, "status", "denied") is not True
        return self._decisions.put(key, allowed, ALLOWED_LIFE if allowed else DENIED_LIFE)

    async def _review(self, resource: Resource, review: Object) -> Object:
        if self._waiting >= WAITING:
            raise too_many_requests("too many requests wait for their authorization")
        self._waiting += 1
        try:
            async with self._reviews:
                return await self._client.create(resource, "", review)
        except (ApiError, ConnectionError) as error:
            raise service_unavailable(f"the API server did not answer to a review: {error}") from error
        finally:
            self._waiting -= 1


def _certified(der: bytes) -> Caller | None:
    """The identity in a client certificate that TLS has verified; None where it names nobody or is not for clients."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    from tiffin.net.pki import subject

    certificate = x509.load_der_x509_certificate(der)
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        return None
    name, groups = subject(certificate.subject)
    return Caller(name, (*groups, AUTHENTICATED)) if name else None
